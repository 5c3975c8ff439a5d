#pragma once
#include <span>
#include <vector>

#include "models/config.h"
#include "models/model.h"
#include "modules/modules.h"

// What the vision towers of Qwen2-VL and Qwen2.5-VL share: patches, their 2-axis rotary positions, frames.
// P patches, M image tokens.
namespace sightloop::models {

struct PatchConfig {
  int64_t channels, patch_size, temporal_patch_size, merge_size;

  int64_t elements() const { return channels * temporal_patch_size * patch_size * patch_size; }
  int64_t merged() const { return merge_size * merge_size; }  // patches in one image token
};
PatchConfig read_patch_config(const ConfigReader& vision);

// The convolution over whole patches, as a product with the flattened kernel: [width, elements].
modules::Linear create_patch_embedding(core::ParameterRegistry& registry, const PatchConfig& patches, int64_t width);

// Row and column of each patch, in merge-block order.   returns [P, 2] int64
at::Tensor patch_positions(std::span<const GridThw> grids, int64_t merge_size);

// Rotary angles of patches: a quarter of the head turns with the row, a quarter with the column.
//   positions [P, 2]   returns angles [P, H/2] on `device`
modules::RotaryAngles patch_rotary(const at::Tensor& positions, int64_t head_width, at::Device device);

// Where each frame of each image begins and ends, counted in patches, ascending from 0.
std::vector<int64_t> frame_boundaries(std::span<const GridThw> grids);

}  // namespace sightloop::models
