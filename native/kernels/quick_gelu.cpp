#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr double kSlope = 1.702;
constexpr int64_t kElementsPerTask = 1 << 14;

SIGHTLOOP_INLINE Lanes activate(const Lanes& x) {
  return x / (1.0F + core::exponential(static_cast<float>(-kSlope) * x));
}

// The last vector is filled up: an element's value does not depend on its place.
SIGHTLOOP_CPU_CLONES void forward_elements(const float* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) core::store(y + i, activate(core::load(x + i)));
  if (i < count) core::store_part(y + i, count - i, activate(core::load_part(x + i, count - i, 0)));
}

at::Tensor forward(const at::Tensor& x) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat) return at::mul(x, kSlope).sigmoid_().mul_(x);
  const auto input = x.contiguous();
  auto y = at::empty_like(input);
  at::parallel_for(0, x.numel(), kElementsPerTask, [&](int64_t begin, int64_t end) {
    forward_elements(input.data_ptr<float>() + begin, y.data_ptr<float>() + begin, end - begin);
  });
  return y;
}

// Keeps only x; the sigmoid is computed again in backward.
class QuickGelu : public torch::autograd::Function<QuickGelu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return kernels::forward(x);
  }
  // d/dx x s(kx) = s + k x s (1 - s)
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto x = context->get_saved_variables()[0];
    const auto gate = at::mul(x, kSlope).sigmoid_();
    return {(1 - gate).mul_(x).mul_(kSlope).add_(1).mul_(gate).mul_(gradients[0])};
  }
};

}  // namespace

at::Tensor quick_gelu(const at::Tensor& x) { return QuickGelu::apply(x); }

}  // namespace sightloop::kernels
