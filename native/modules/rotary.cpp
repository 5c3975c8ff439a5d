#include <ATen/ATen.h>

#include "core/check.h"
#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor rotary_frequencies(int64_t head_width, double theta) {
  const auto exponents = at::arange(0, head_width, 2, at::kLong).to(at::kFloat) / head_width;
  return at::scalar_tensor(theta, at::kFloat).pow(exponents).reciprocal();
}

RotaryTable rotary_table(int64_t head_width, double theta, std::span<const int64_t> sections, at::Device device) {
  std::vector<int64_t> axes;
  for (size_t section = 0; section < sections.size(); ++section)
    axes.insert(axes.end(), sections[section], static_cast<int64_t>(section % 3));
  const auto frequencies = rotary_frequencies(head_width, theta);
  TORCH_CHECK(static_cast<int64_t>(axes.size()) == frequencies.size(0), "multimodal_rotary: the sections sum to ",
              axes.size(), ", but half the head width is ", frequencies.size(0),
              ". Check mrope_section in config.json.");
  return {.frequencies = frequencies.to(device), .axes = at::tensor(axes, at::kLong).to(device)};
}

RotaryAngles multimodal_rotary(const at::Tensor& positions, const RotaryTable& table) {
  core::check_shape(positions, {3, -1}, "multimodal_rotary.positions");
  const auto axes = positions.to(table.axes.device()).index_select(0, table.axes);  // [H/2, T]
  const auto [cos, sin] = kernels::cos_sin(axes.to(at::kFloat).t() * table.frequencies);
  return {.cos = cos, .sin = sin};
}

}  // namespace sightloop::modules
