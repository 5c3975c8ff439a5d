#include "binding/progress.h"

namespace sightloop::binding {

std::shared_ptr<Progress> Progress::argument(const Napi::CallbackInfo& info, size_t index) {
  if (info[index].IsUndefined() || info[index].IsNull()) return nullptr;
  if (!info[index].IsFunction())
    throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " is not a function");
  auto function = Napi::ThreadSafeFunction::New(info.Env(), info[index].As<Napi::Function>(), "sightloop-progress",
                                                /*maxQueueSize=*/0, /*initialThreadCount=*/1);
  function.Unref(info.Env());
  return std::make_shared<Progress>(std::move(function));
}

void Progress::operator()(int64_t done, int64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (done < total && now - told_ < std::chrono::milliseconds(100)) return;
  told_ = now;
  function_.NonBlockingCall([done, total](Napi::Env env, Napi::Function callback) {
    callback.Call(
        {Napi::Number::New(env, static_cast<double>(done)), Napi::Number::New(env, static_cast<double>(total))});
  });
}

}  // namespace sightloop::binding
