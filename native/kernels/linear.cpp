#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// oneDNN's product, which libtorch reaches only through this op: at::linear takes MKL for float32, and on processors that
// are not Intel's MKL leaves half of AVX-512 unused (bench/LOG.md).
using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   std::string_view, c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

#if defined(__x86_64__)
bool processor_is_intel() { return __builtin_cpu_is("intel") != 0; }
#else
bool processor_is_intel() { return false; }
#endif

const std::optional<c10::TypedOperatorHandle<LinearPointwise>>& linear_pointwise() {
  static const auto op = []() -> std::optional<c10::TypedOperatorHandle<LinearPointwise>> {
#if !defined(__x86_64__)
    return std::nullopt;
#endif
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found || !found->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
    return found->typed<LinearPointwise>();
  }();
  return op;
}

// x [M, K] @ weight [N, K]^T + bias, any strides, without a graph
at::Tensor onednn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return linear_pointwise()->call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                                  c10::List<std::optional<at::Scalar>>(), "");
}

bool suits_onednn(const at::Tensor& x, const at::Tensor& weight) {
  static const bool preferred = !processor_is_intel();
  return preferred && x.is_cpu() && x.dim() == 2 && x.scalar_type() == at::kFloat &&
         weight.scalar_type() == at::kFloat && x.numel() > 0 && weight.numel() > 0 && linear_pointwise().has_value();
}

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, Products products) {
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), weight});
    context->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias.value_or(at::Tensor()), products);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto& dy = gradients[0];
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) dx = product(dy, saved[1].t(), {});
    if (context->needs_input_grad(1)) dweight = weight_gradient(dy, saved[0]);
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) dbias = dy.sum(0);
    return {dx, dweight, dbias, at::Tensor()};
  }
};

}  // namespace

const char* fastest_product() {
  return !processor_is_intel() && linear_pointwise().has_value() ? "onednn" : "libtorch";
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Products products) {
  if (products == Products::batch_invariant) return panel_linear(x, weight, bias);
  return suits_onednn(x, weight) ? onednn(x, weight, bias) : at::linear(x, weight, bias);
}

// dy^T x [N, K]. oneDNN reads its second operand in any order but copies the first one to transpose it: that is made the
// smaller of the two.
at::Tensor weight_gradient(const at::Tensor& dy, const at::Tensor& x) {
  return dy.size(1) <= x.size(1) ? product(dy.t(), x.t(), {}) : product(x.t(), dy.t(), {}).t().contiguous();
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Products products) {
  core::check_shape(x, {-1, weight.size(1)}, "linear.x");
  if (!at::GradMode::is_enabled()) return product(x, weight, bias, products);
  if (products == Products::fastest && !suits_onednn(x, weight)) return at::linear(x, weight, bias);
  return Linear::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, products);
}

}  // namespace sightloop::kernels
