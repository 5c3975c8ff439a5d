#include "models/qwen_vision.h"

#include <ATen/ATen.h>

namespace sightloop::models {
namespace {

constexpr double kRotaryTheta = 10000.0;  // fixed in the reference

}  // namespace

PatchConfig read_patch_config(const ConfigReader& vision) {
  return {.channels = vision.positive("in_channels", vision.positive("in_chans", 3)),
          .patch_size = vision.positive("patch_size"),
          .temporal_patch_size = vision.positive("temporal_patch_size", 2),
          .merge_size = vision.positive("spatial_merge_size", 2)};
}

modules::Linear create_patch_embedding(core::ParameterRegistry& registry, const PatchConfig& patches, int64_t width) {
  modules::Linear linear;
  linear.weight = registry.create(
      {width, patches.elements()}, core::Part::vision_tower,
      {{.name = "visual.patch_embed.proj.weight",
        .begin = 0,
        .rows = width,
        .shape = {width, patches.channels, patches.temporal_patch_size, patches.patch_size, patches.patch_size}}});
  return linear;
}

at::Tensor patch_positions(std::span<const GridThw> grids, int64_t merge_size) {
  std::vector<int64_t> positions;
  for (const auto& [frames, height, width] : grids)
    for (int64_t frame = 0; frame < frames; ++frame)
      for (int64_t top = 0; top < height; top += merge_size)
        for (int64_t left = 0; left < width; left += merge_size)
          for (int64_t row = top; row < top + merge_size; ++row)
            for (int64_t column = left; column < left + merge_size; ++column) {
              positions.push_back(row);
              positions.push_back(column);
            }
  return at::tensor(positions, at::kLong).view({-1, 2});
}

modules::RotaryAngles patch_rotary(const at::Tensor& positions, int64_t head_width, at::Device device) {
  const auto frequencies = modules::rotary_frequencies(head_width / 2, kRotaryTheta);    // [H/4]
  const auto angles = (positions.to(at::kFloat).unsqueeze(2) * frequencies).flatten(1);  // [P, H/2]
  const auto [cos, sin] = kernels::cos_sin(angles.to(device));
  return {.cos = cos, .sin = sin};
}

std::vector<int64_t> frame_boundaries(std::span<const GridThw> grids) {
  std::vector<int64_t> boundaries{0};
  for (const auto& [frames, height, width] : grids)
    for (int64_t frame = 0; frame < frames; ++frame) boundaries.push_back(boundaries.back() + height * width);
  return boundaries;
}

}  // namespace sightloop::models
