#pragma once
#include <napi.h>

namespace sightloop::binding {

// addImages, prepareImages, addPreparedImage, pruneImages.
void init_image_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
