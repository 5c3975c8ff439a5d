#include <napi.h>

#include "binding/ceiling_functions.h"
#include "binding/data_functions.h"
#include "binding/engine_functions.h"
#include "binding/model_functions.h"
#include "binding/rollout_functions.h"
#include "core/host_memory.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  sightloop::core::keep_freed_memory();
  sightloop::binding::init_data_functions(env, exports);
  sightloop::binding::init_engine_functions(env, exports);
  sightloop::binding::init_model_functions(env, exports);
  sightloop::binding::init_rollout_functions(env, exports);
  sightloop::binding::init_ceiling_functions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(sightloop, init)
