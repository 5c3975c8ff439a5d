#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// Keeps only gate and up; silu(gate) is computed again in backward.
class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    const auto parts = gate_up.chunk(2, -1);
    return at::silu(parts[0]).mul_(parts[1]);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto gate_up = context->get_saved_variables()[0];
    const auto parts = gate_up.chunk(2, -1);
    auto result = at::empty_like(gate_up);
    auto halves = result.chunk(2, -1);
    halves[0].copy_(at::silu_backward(gradients[0] * parts[1], parts[0]));
    at::mul_out(halves[1], gradients[0], at::silu(parts[0]));
    return {result};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up) { return Swiglu::apply(gate_up); }

}  // namespace sightloop::kernels
