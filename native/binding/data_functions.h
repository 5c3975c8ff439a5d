#pragma once
#include <napi.h>

namespace sightloop::binding {

// Adds the data step's functions to the addon; each runs on the JS thread and needs no engine.
//   preprocessImage(rgb: Uint8Array, height, width, settingsJson: string)
//     -> { resized: Uint8Array, resized_height, resized_width, image_grid_thw: number[], pixel_values: Float32Array }
//   smartResize(height, width, factor, min_pixels, max_pixels) -> [height, width]
//   ropePositions(token_ids: Int32Array, grids: Int32Array [n x 3], image_token_id, video_token_id, merge_size)
//     -> { positions: Int32Array [3 x T], delta }
void init_data_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
