#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

// A panel is 32 outputs: [inputs][32] floats, so that one step over the inputs loads two vectors of weights and multiplies them
// with as many rows' inputs as the registers hold sums for. However the work is cut, an output is its bias plus the products
// of inputs 0, 1, 2, .. added one after the other: the same bits for any number of rows, packed or not, on any threads.
namespace sightloop::kernels {
namespace {

constexpr int64_t kPanel = 2 * core::kLanes;
constexpr int64_t kPackedDepth = 1024;  // inputs summed at once: their part of a panel stays in the second-level cache
// The same where panels are packed on the way, several at a time, and many rows share them: the panels and a block of rows stay.
constexpr int64_t kDepth = 256, kPanelsAtOnce = 8, kRowsAtOnce = 96;

SIGHTLOOP_CPU_CLONES void multiply_wide(const Product& product, int64_t rows) {
  multiply_rows<kWideRows, 2>(product, rows);
}
SIGHTLOOP_CPU_CLONES void multiply_narrow(const Product& product, int64_t rows) {
  multiply_rows<kNarrowRows, 2>(product, rows);
}

// panel [depth][32] of up to 32 rows of a weight; a row starts every `stride` floats. The other outputs are 0.
SIGHTLOOP_CPU_CLONES void pack_panel(const float* weight, int64_t stride, int64_t outputs, int64_t depth,
                                     float* panel) {
  if (outputs < kPanel) std::fill_n(panel, depth * kPanel, 0.0F);
  constexpr int64_t kStep = core::kLanes;  // of a row: a cache line
  int64_t k = 0;
  for (; k + kStep <= depth; k += kStep)
    for (int64_t o = 0; o < outputs; ++o)
      for (int64_t i = 0; i < kStep; ++i) panel[(k + i) * kPanel + o] = weight[o * stride + k + i];
  for (; k < depth; ++k)
    for (int64_t o = 0; o < outputs; ++o) panel[k * kPanel + o] = weight[o * stride + k];
}

// Rows of y, a panel at a time. The last panel may be wider than what is left of y: it is computed beside it.
class PanelProduct {
 public:
  PanelProduct(const at::Tensor& x, const at::Tensor& bias, at::Tensor& y)
      : x_(x.data_ptr<float>()),
        bias_(bias.defined() ? bias.data_ptr<float>() : nullptr),
        y_(y.data_ptr<float>()),
        rows_(x.size(0)),
        inputs_(x.size(1)),
        outputs_(y.size(1)) {}

  // Adds the products of inputs [begin, begin + depth) to rows [row, row + rows).   weights [depth][32] of the panel
  void add(int64_t panel, const float* weights, int64_t begin, int64_t depth, int64_t row, int64_t rows) {
    const auto column = panel * kPanel, width = std::min(kPanel, outputs_ - column);
    const bool whole = width == kPanel;
    if (!whole) ragged_.resize(static_cast<size_t>(rows_ * kPanel));
    auto* target = whole ? y_ + row * outputs_ + column : ragged_.data() + row * kPanel;
    const auto stride = whole ? outputs_ : kPanel;
    float start[kPanel] = {};
    if (begin == 0 && bias_ != nullptr) std::copy_n(bias_ + column, width, start);
    multiply_({.a = x_ + row * inputs_ + begin,
               .a_row = inputs_,
               .a_step = 1,
               .b = weights,
               .b_step = kPanel,
               .c = target,
               .c_row = stride,
               .start = begin == 0 ? start : target,
               .start_row = begin == 0 ? 0 : stride,
               .depth = depth},
              rows);
    if (whole || begin + depth < inputs_) return;
    for (auto i = row; i < row + rows; ++i) std::copy_n(ragged_.data() + i * kPanel, width, y_ + i * outputs_ + column);
  }

 private:
  const float *x_, *bias_;
  float* y_;
  int64_t rows_, inputs_, outputs_;
  std::vector<float> ragged_;
  void (*multiply_)(const Product&, int64_t) = has_wide_registers() ? multiply_wide : multiply_narrow;
};

int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

}  // namespace

PackedWeight pack_weight(const at::Tensor& weight) {
  const auto outputs = weight.size(0), inputs = weight.size(1), panels = panels_of(outputs);
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
  const auto rows = x.size(0), inputs = x.size(1);
  core::check_shape(weight.panels, {-1, inputs, kPanel}, "packed_linear.weight");
  const auto input = x.contiguous();
  auto y = at::empty({rows, weight.outputs}, x.options());
  at::parallel_for(0, weight.panels.size(0), 1, [&](int64_t first, int64_t last) {
    PanelProduct product(input, bias, y);
    for (auto panel = first; panel < last; ++panel)
      for (int64_t begin = 0; begin < inputs; begin += kPackedDepth)
        product.add(panel, weight.panels.data_ptr<float>() + (panel * inputs + begin) * kPanel, begin,
                    std::min(kPackedDepth, inputs - begin), 0, rows);
  });
  return y;
}

at::Tensor panel_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto rows = x.size(0), inputs = x.size(1), outputs = weight.size(0), panels = panels_of(outputs);
  TORCH_INTERNAL_ASSERT(x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat);
  core::check_shape(weight, {-1, inputs}, "panel_linear.weight");
  const auto input = x.contiguous(), rows_of_weight = weight.contiguous();
  auto y = at::empty({rows, outputs}, x.options());
  const auto at_once = std::clamp<int64_t>(panels / at::get_num_threads(), 1, kPanelsAtOnce);
  at::parallel_for(0, (panels + at_once - 1) / at_once, 1, [&](int64_t first, int64_t last) {
    PanelProduct product(input, bias, y);
    std::vector<float> packed(static_cast<size_t>(at_once * kDepth * kPanel));
    const auto part = [&](int64_t i) { return packed.data() + i * kDepth * kPanel; };
    for (auto group = first * at_once; group < std::min(last * at_once, panels); group += at_once) {
      const auto count = std::min(at_once, panels - group);
      for (int64_t begin = 0; begin < inputs; begin += kDepth) {
        const auto depth = std::min(kDepth, inputs - begin);
        for (int64_t i = 0; i < count; ++i) {
          const auto output = (group + i) * kPanel;
          pack_panel(rows_of_weight.data_ptr<float>() + output * inputs + begin, inputs,
                     std::min(kPanel, outputs - output), depth, part(i));
        }
        for (int64_t row = 0; row < rows; row += kRowsAtOnce)
          for (int64_t i = 0; i < count; ++i)
            product.add(group + i, part(i), begin, depth, row, std::min(kRowsAtOnce, rows - row));
      }
    }
  });
  return y;
}

}  // namespace sightloop::kernels
