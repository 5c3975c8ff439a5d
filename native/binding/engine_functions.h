#pragma once
#include <napi.h>

namespace sightloop::binding {

// openEngine, addImages, pruneImages, rollout*, score, advantages, update, save*, loadState, memory, inspect,
// closeEngine, initModel, stop sources. The typed list is src/engine/addon.ts.
void init_engine_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
