#include "binding/engine_handle.h"

namespace sightloop::binding {
namespace {

// A foreign or stale external throws instead of corrupting memory.
constexpr napi_type_tag kEngineTag = {0x5167687431656e67ULL, 0x696e6500006c6f70ULL};
constexpr napi_type_tag kSessionTag = {0x5167687431736573ULL, 0x73696f6e006c6f70ULL};
constexpr napi_type_tag kStopTag = {0x516768743173746fULL, 0x7000000000006c6fULL};

template <typename T>
Napi::Value wrap_as(Napi::Env env, T value, const napi_type_tag& tag) {
  auto external = Napi::External<T>::New(env, new T(std::move(value)), [](Napi::Env, T* held) { delete held; });
  external.TypeTag(&tag);
  return external;
}

template <typename T>
T& unwrap_as(const Napi::CallbackInfo& info, size_t index, const napi_type_tag& tag, const char* name) {
  if (!info[index].IsExternal() || !info[index].As<Napi::External<T>>().CheckTypeTag(&tag))
    throw Napi::TypeError::New(info.Env(), std::string("argument ") + std::to_string(index) + " is not " + name);
  return *info[index].As<Napi::External<T>>().Data();
}

}  // namespace

engine::Engine& EngineHandle::open() {
  TORCH_CHECK(engine != nullptr, "the engine is closed");
  return *engine;
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
