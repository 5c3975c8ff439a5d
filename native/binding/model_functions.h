#pragma once
#include <napi.h>

namespace sightloop::binding {

// openEngine, closeEngine, saveModel, saveState, loadState, memory, initModel, createStopSource, requestStop.
void init_model_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
