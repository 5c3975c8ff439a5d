#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <stop_token>

#include "binding/engine_thread.h"
#include "engine/engine.h"

namespace sightloop::binding {

// What JavaScript holds as `engine`: the thread, and the engine that only this thread touches.
struct EngineHandle {
  explicit EngineHandle(Napi::Env env) : thread(env) {}
  std::unique_ptr<engine::Engine> engine;  // null before opening and after closing
  EngineThread thread;                     // joined before the engine goes

  engine::Engine& open();  // throws if closed
  // A thread for what does not touch the engine, made when it is first asked for. Once closed, it refuses like `thread`.
  EngineThread& beside(Napi::Env env);
  // Ends both, on the JavaScript thread.
  void finish();

 private:
  std::unique_ptr<EngineThread> beside_;
};

// What JavaScript holds as `session`. Destroyed on the engine thread or after it.
struct SessionHandle {
  std::shared_ptr<EngineHandle> owner;
  std::shared_ptr<rollout::Session> session;  // null once closed

  rollout::Session& open();
};

Napi::Value wrap(Napi::Env env, std::shared_ptr<EngineHandle> handle);
Napi::Value wrap(Napi::Env env, std::shared_ptr<SessionHandle> handle);
std::shared_ptr<EngineHandle> engine_argument(const Napi::CallbackInfo& info, size_t index);
std::shared_ptr<SessionHandle> session_argument(const Napi::CallbackInfo& info, size_t index);
// null or undefined: a token that is never stopped.
std::stop_token stop_argument(const Napi::CallbackInfo& info, size_t index);

Napi::Value create_stop_source(const Napi::CallbackInfo& info);
Napi::Value request_stop(const Napi::CallbackInfo& info);

}  // namespace sightloop::binding
