#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"

// M rows, K inputs, N outputs. A panel is 32 outputs: [K][32] floats, so that one step over K loads two vectors of weights and
// multiplies them with R rows' inputs, each broadcast. The order of the sum over K is fixed: a row's result depends neither
// on the other rows nor on the threads.
namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kPanel = 2 * kLanes;
constexpr int64_t kDepth = 1024;  // inputs summed at once: their part of a panel stays in the second-level cache

struct Tile {
  const float *x, *panel, *bias;  // bias: 32 floats, or null to go on from what y holds
  float* y;
  int64_t x_stride, y_stride, depth;
};

template <int64_t R>
SIGHTLOOP_INLINE void multiply(const Tile& tile) {
  Lanes low[R], high[R];
  for (int64_t r = 0; r < R; ++r) {
    const auto* start = tile.bias != nullptr ? tile.bias : tile.y + r * tile.y_stride;
    low[r] = core::load(start);
    high[r] = core::load(start + kLanes);
  }
  const auto* weights = tile.panel;
  for (int64_t k = 0; k < tile.depth; ++k, weights += kPanel) {
    const Lanes first = core::load(weights), second = core::load(weights + kLanes);
    for (int64_t r = 0; r < R; ++r) {
      const float input = tile.x[r * tile.x_stride + k];
      low[r] += input * first;
      high[r] += input * second;
    }
  }
  for (int64_t r = 0; r < R; ++r) {
    core::store(tile.y + r * tile.y_stride, low[r]);
    core::store(tile.y + r * tile.y_stride + kLanes, high[r]);
  }
}

// All rows of one panel, R at a time.   y [rows][32]
template <int64_t R>
SIGHTLOOP_INLINE void multiply_rows(Tile tile, int64_t rows) {
  constexpr int64_t kFew = std::min<int64_t>(R, 4);
  for (; rows >= R; rows -= R, tile.x += R * tile.x_stride, tile.y += R * tile.y_stride) multiply<R>(tile);
  for (; rows >= kFew; rows -= kFew, tile.x += kFew * tile.x_stride, tile.y += kFew * tile.y_stride)
    multiply<kFew>(tile);
  for (; rows > 0; --rows, tile.x += tile.x_stride, tile.y += tile.y_stride) multiply<1>(tile);
}

// 12 x 2 sums fill the 32 registers of AVX-512, 3 x 2 (of two registers each) the 16 of AVX2.
SIGHTLOOP_CPU_CLONES void multiply_wide(const Tile& tile, int64_t rows) { multiply_rows<12>(tile, rows); }
SIGHTLOOP_CPU_CLONES void multiply_narrow(const Tile& tile, int64_t rows) { multiply_rows<3>(tile, rows); }

bool has_wide_registers() {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx512f") != 0;
  return wide;
#else
  return true;
#endif
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
      for (int64_t depth = 0; depth < inputs; depth += kDepth)
        multiply_panel({.x = input.data_ptr<float>() + depth,
                        .panel = weights + depth * kPanel,
                        .bias = depth == 0 ? start : nullptr,
                        .y = width < kPanel ? ragged.data() : y.data_ptr<float>() + begin,
                        .x_stride = inputs,
                        .y_stride = width < kPanel ? kPanel : weight.outputs,
                        .depth = std::min(kDepth, inputs - depth)},
                       rows);
      if (width < kPanel)
        for (int64_t row = 0; row < rows; ++row)
          std::copy_n(ragged.data() + row * kPanel, width, y.data_ptr<float>() + row * weight.outputs + begin);
    }
  });
  return y;
}

}  // namespace sightloop::kernels
