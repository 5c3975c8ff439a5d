#include "binding/engine_handle.h"

#include "binding/wrap.h"

namespace sightloop::binding {
namespace {

constexpr napi_type_tag kEngineTag = {0x5167687431656e67ULL, 0x696e6500006c6f70ULL};
constexpr napi_type_tag kSessionTag = {0x5167687431736573ULL, 0x73696f6e006c6f70ULL};
constexpr napi_type_tag kStopTag = {0x516768743173746fULL, 0x7000000000006c6fULL};

}  // namespace

engine::Engine& EngineHandle::open() {
  TORCH_CHECK(engine != nullptr, "the engine is closed");
  return *engine;
}

EngineThread& EngineHandle::beside(Napi::Env env) {
  if (!beside_ && thread.finished()) return thread;
  if (!beside_) beside_ = std::make_unique<EngineThread>(env);
  return *beside_;
}

void EngineHandle::finish() {
  thread.finish();
  if (beside_) beside_->finish();
}

rollout::Session& SessionHandle::open() {
  TORCH_CHECK(session != nullptr, "the rollout session is closed");
  return *session;
}

Napi::Value wrap(Napi::Env env, std::shared_ptr<EngineHandle> handle) {
  return wrap_as(env, std::move(handle), kEngineTag);
}
Napi::Value wrap(Napi::Env env, std::shared_ptr<SessionHandle> handle) {
  return wrap_as(env, std::move(handle), kSessionTag);
}
std::shared_ptr<EngineHandle> engine_argument(const Napi::CallbackInfo& info, size_t index) {
  return unwrap_as<std::shared_ptr<EngineHandle>>(info, index, kEngineTag, "an engine");
}
std::shared_ptr<SessionHandle> session_argument(const Napi::CallbackInfo& info, size_t index) {
  return unwrap_as<std::shared_ptr<SessionHandle>>(info, index, kSessionTag, "a rollout session");
}

std::stop_token stop_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info[index].IsNull() || info[index].IsUndefined()) return {};
  return unwrap_as<std::stop_source>(info, index, kStopTag, "a stop source").get_token();
}

Napi::Value create_stop_source(const Napi::CallbackInfo& info) {
  return wrap_as(info.Env(), std::stop_source(), kStopTag);
}

Napi::Value request_stop(const Napi::CallbackInfo& info) {
  unwrap_as<std::stop_source>(info, 0, kStopTag, "a stop source").request_stop();
  return info.Env().Undefined();
}

}  // namespace sightloop::binding
