#pragma once
#include <napi.h>

namespace sightloop::binding {

// rolloutOpen, rolloutAdd, rolloutAdvance, rolloutCollect, rolloutClose, filterLogits.
void init_rollout_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
