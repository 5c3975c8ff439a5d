#pragma once
#include <napi.h>

namespace sightloop::binding {

// score, advantages, update, inspect, inspectGradients. The typed list of the whole addon is
// src/engine/addon.ts.
void init_engine_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
