#pragma once
#include <napi.h>

namespace sightloop::binding {

// measureGemm, measureBandwidth, libtorchVersion.
void init_ceiling_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
