#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/kernels.h"

// libtorch computes the last elements of a piece of work another way than those inside it, so that an element's last bits depend
// on its place. Only connectors use this: a plain loop is fast enough.
namespace sightloop::kernels {
namespace {

constexpr float kSqrtHalf = 0.70710678F;
constexpr int64_t kElementsPerTask = 1 << 11;

at::Tensor forward(const at::Tensor& x) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat) return at::gelu(x);
  const auto input = x.contiguous();
  auto y = at::empty_like(input);
  at::parallel_for(0, x.numel(), kElementsPerTask, [&](int64_t begin, int64_t end) {
    const auto* from = input.data_ptr<float>();
    auto* to = y.data_ptr<float>();
    for (auto i = begin; i < end; ++i) to[i] = 0.5F * from[i] * (1.0F + std::erf(from[i] * kSqrtHalf));
  });
  return y;
}

class Gelu : public torch::autograd::Function<Gelu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return kernels::forward(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {at::gelu_backward(gradients[0], context->get_saved_variables()[0])};
  }
};

}  // namespace

at::Tensor gelu(const at::Tensor& x) { return Gelu::apply(x); }

}  // namespace sightloop::kernels
