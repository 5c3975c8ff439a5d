#include <napi.h>

#include "binding/ceiling_functions.h"
#include "binding/data_functions.h"
#include "binding/engine_functions.h"
#include "binding/engine_thread.h"
#include "binding/image_functions.h"
#include "binding/model_functions.h"
#include "binding/ranks_functions.h"
#include "binding/rollout_functions.h"
#include "core/host_memory.h"

namespace {

void watch_exit(Napi::Env env) {
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto leave = [](const Napi::CallbackInfo&) { sightloop::binding::leave_at_exit_if_busy(); };
  process.Get("on").As<Napi::Function>().Call(
      process, {Napi::String::New(env, "exit"), Napi::Function::New(env, leave, "leaveAtExitIfBusy")});
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  sightloop::core::keep_freed_memory();
  watch_exit(env);
  sightloop::binding::init_data_functions(env, exports);
  sightloop::binding::init_engine_functions(env, exports);
  sightloop::binding::init_image_functions(env, exports);
  sightloop::binding::init_model_functions(env, exports);
  sightloop::binding::init_ranks_functions(env, exports);
  sightloop::binding::init_rollout_functions(env, exports);
  sightloop::binding::init_ceiling_functions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(sightloop, init)
