#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

// A panel is 32 outputs: [inputs][32] floats, so that one step over the inputs loads two vectors of weights and multiplies them
// with as many rows' inputs as the registers hold sums for.
namespace sightloop::kernels {
namespace {

constexpr int64_t kPanel = 2 * core::kLanes;
constexpr int64_t kDepth = 1024;  // inputs summed at once: their part of a panel stays in the second-level cache

SIGHTLOOP_CPU_CLONES void multiply_wide(const Product& product, int64_t rows) {
  multiply_rows<kWideRows, 2>(product, rows);
}
SIGHTLOOP_CPU_CLONES void multiply_narrow(const Product& product, int64_t rows) {
  multiply_rows<kNarrowRows, 2>(product, rows);
}

}  // namespace

PackedWeight pack_weight(const at::Tensor& weight) {
  const auto outputs = weight.size(0), inputs = weight.size(1), panels = (outputs + kPanel - 1) / kPanel;
  auto packed = at::empty({panels, inputs, kPanel}, weight.options().dtype(at::kFloat));
  const auto whole = outputs / kPanel;
  packed.narrow(0, 0, whole).copy_(weight.narrow(0, 0, whole * kPanel).view({whole, kPanel, inputs}).transpose(1, 2));
  if (whole < panels) {
    const auto rest = outputs - whole * kPanel;
    packed[whole].zero_();
    packed[whole].narrow(1, 0, rest).copy_(weight.narrow(0, whole * kPanel, rest).t());
  }
  return {.panels = packed, .outputs = outputs};
}

at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight, const at::Tensor& bias) {
  const auto rows = x.size(0), inputs = x.size(1), panels = weight.panels.size(0);
  core::check_shape(weight.panels, {-1, inputs, kPanel}, "packed_linear.weight");
  const auto input = x.contiguous();
  auto y = at::empty({rows, weight.outputs}, x.options());
  const auto multiply_panel = has_wide_registers() ? multiply_wide : multiply_narrow;
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    std::vector<float> ragged;  // the last panel's results where it is not full
    float start[kPanel];
    for (auto panel = first; panel < last; ++panel) {
      const auto begin = panel * kPanel, width = std::min(kPanel, weight.outputs - begin);
      std::fill_n(start, kPanel, 0.0F);
      if (bias.defined()) std::copy_n(bias.data_ptr<float>() + begin, width, start);
      if (width < kPanel) ragged.resize(static_cast<size_t>(rows * kPanel));
      const auto* weights = weight.panels.data_ptr<float>() + panel * inputs * kPanel;
      for (int64_t depth = 0; depth < inputs; depth += kDepth) {
        auto* target = width < kPanel ? ragged.data() : y.data_ptr<float>() + begin;
        const auto y_row = width < kPanel ? kPanel : weight.outputs;
        multiply_panel({.a = input.data_ptr<float>() + depth,
                        .a_row = inputs,
                        .a_step = 1,
                        .b = weights + depth * kPanel,
                        .b_step = kPanel,
                        .c = target,
                        .c_row = y_row,
                        .start = depth == 0 ? start : target,
                        .start_row = depth == 0 ? 0 : y_row,
                        .depth = std::min(kDepth, inputs - depth)},
                       rows);
      }
      if (width < kPanel)
        for (int64_t row = 0; row < rows; ++row)
          std::copy_n(ragged.data() + row * kPanel, width, y.data_ptr<float>() + row * weight.outputs + begin);
    }
  });
  return y;
}

}  // namespace sightloop::kernels
