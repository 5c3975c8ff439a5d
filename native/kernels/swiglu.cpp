#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kElementsPerTask = 1 << 14;

SIGHTLOOP_INLINE Lanes sigmoid(const Lanes& x) { return 1.0F / (1.0F + core::exponential(-x)); }
inline float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// y[i] = silu(gate[i]) * up[i]; a row of gate_up is gate, then up.
SIGHTLOOP_CPU_CLONES void forward_rows(const float* gate_up, float* y, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, y += width) {
    const auto *gate = gate_up, *up = gate_up + width;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Lanes g = core::load(gate + i);
      core::store(y + i, g * sigmoid(g) * core::load(up + i));
    }
    for (; i < width; ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

// d gate = dy up s (1 + gate (1 - s)),  d up = dy gate s,  s = sigmoid(gate)
SIGHTLOOP_CPU_CLONES void backward_rows(const float* dy, const float* gate_up, float* d, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, d += 2 * width, dy += width) {
    const auto *gate = gate_up, *up = gate_up + width;
    auto *dgate = d, *dup = d + width;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Lanes g = core::load(gate + i), s = sigmoid(g), gradient = core::load(dy + i);
      core::store(dgate + i, gradient * core::load(up + i) * s * (1.0F + g * (1.0F - s)));
      core::store(dup + i, gradient * g * s);
    }
    for (; i < width; ++i) {
      const float s = sigmoid(gate[i]);
      dgate[i] = dy[i] * up[i] * s * (1.0F + gate[i] * (1.0F - s));
      dup[i] = dy[i] * gate[i] * s;
    }
  }
}

int64_t rows_per_task(int64_t width) { return std::max<int64_t>(1, kElementsPerTask / width); }

at::Tensor activate(const at::Tensor& gate_up) {
  if (gate_up.is_cuda()) return cuda::swiglu(gate_up);
  const auto rows = gate_up.size(0), width = gate_up.size(1) / 2;
  auto y = at::empty({rows, width}, gate_up.options());
  at::parallel_for(0, rows, rows_per_task(width), [&](int64_t begin, int64_t end) {
    forward_rows(gate_up.data_ptr<float>() + begin * 2 * width, y.data_ptr<float>() + begin * width, end - begin,
                 width);
  });
  return y;
}

// Keeps only gate and up; the rest is computed again in backward.
class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return activate(gate_up);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto gate_up = context->get_saved_variables()[0], dy = gradients[0].contiguous();
    if (dy.is_cuda()) return {cuda::swiglu_backward(gate_up, dy)};
    const auto rows = dy.size(0), width = dy.size(1);
    auto d = at::empty_like(gate_up);
    at::parallel_for(0, rows, rows_per_task(width), [&](int64_t begin, int64_t end) {
      backward_rows(dy.data_ptr<float>() + begin * width, gate_up.data_ptr<float>() + begin * 2 * width,
                    d.data_ptr<float>() + begin * 2 * width, end - begin, width);
    });
    return {d};
  }
};

}  // namespace

at::Tensor swiglu_reference(const at::Tensor& gate_up) {
  const auto parts = gate_up.chunk(2, -1);
  return at::silu(parts[0]) * parts[1];
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  core::check_shape(gate_up, {-1, -1}, "swiglu.gate_up");
  const bool fused = gate_up.is_cuda() || (gate_up.is_cpu() && gate_up.scalar_type() == at::kFloat);
  if (!fused) return swiglu_reference(gate_up);
  const auto input = gate_up.contiguous();
  return at::GradMode::is_enabled() ? Swiglu::apply(input) : activate(input);
}

}  // namespace sightloop::kernels
