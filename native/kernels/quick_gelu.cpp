#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

constexpr double kSlope = 1.702;

// Keeps only x; the sigmoid is computed again in backward.
class QuickGelu : public torch::autograd::Function<QuickGelu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return at::mul(x, kSlope).sigmoid_().mul_(x);
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
