#include <ATen/ATen.h>

#include "core/check.h"
#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor rotary_frequencies(int64_t head_width, double theta) {
  const auto exponents = at::arange(0, head_width, 2, at::kLong).to(at::kFloat) / head_width;
  return at::scalar_tensor(theta, at::kFloat).pow(exponents).reciprocal();
}

RotaryAngles multimodal_rotary(const at::Tensor& positions, const at::Tensor& frequencies,
                               std::span<const int64_t> sections) {
  core::check_shape(positions, {3, -1}, "multimodal_rotary.positions");
  std::vector<int64_t> axes;
  for (size_t section = 0; section < sections.size(); ++section)
    axes.insert(axes.end(), sections[section], static_cast<int64_t>(section % 3));
  TORCH_CHECK(static_cast<int64_t>(axes.size()) == frequencies.size(0), "multimodal_rotary: the sections sum to ",
              axes.size(), ", but half the head width is ", frequencies.size(0),
              ". Check mrope_section in config.json.");
  const auto axis = at::tensor(axes, at::kLong);
  const auto angles = positions.index_select(0, axis).to(at::kFloat).t() * frequencies;  // [T, H/2]
  const auto [cos, sin] = kernels::cos_sin(angles);
  return {.cos = cos, .sin = sin};
}

}  // namespace sightloop::modules
