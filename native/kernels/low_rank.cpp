#include "kernels/low_rank.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

using Outputs = std::vector<LowRank::Outputs>;

// Calls use(outputs i, columns of `low` that belong to it, rows of `up` that do).
template <typename Use>
void each_range(const Outputs& outputs, int64_t rank, const Use& use) {
  int64_t index = 0, up_begin = 0;
  for (const auto& [begin, rows] : outputs) {
    use(begin, rows, index++ * rank, up_begin);
    up_begin += rows;
  }
}

struct Product {
  at::Tensor y;    // [T, out]
  at::Tensor low;  // scale * x down^T [T, k R]
};

Product multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const LowRank& low_rank) {
  const auto up = low_rank.up.to(x.scalar_type());
  const auto rank = low_rank.rank();
  Product result{.y = product(x, weight, bias),
                 .low = product(x, low_rank.down.to(x.scalar_type()), {}).mul_(low_rank.scale)};
  each_range(low_rank.outputs, rank, [&](int64_t begin, int64_t rows, int64_t low_begin, int64_t up_begin) {
    result.y.narrow(1, begin, rows).addmm_(result.low.narrow(1, low_begin, rank), up.narrow(0, up_begin, rows).t());
  });
  return result;
}

class LowRankLinear : public torch::autograd::Function<LowRankLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& down,
                            const at::Tensor& up, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const LowRank& low_rank) {
    auto [y, low] = multiply(x, weight, bias.value_or(at::Tensor()), low_rank);
    context->save_for_backward({x, down, up, weight, low});
    std::vector<int64_t> begins, rows;
    for (const auto& range : low_rank.outputs) {
      begins.push_back(range.begin);
      rows.push_back(range.rows);
    }
    context->saved_data["begins"] = begins;
    context->saved_data["rows"] = rows;
    context->saved_data["scale"] = low_rank.scale;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &down = saved[1], &up = saved[2], &weight = saved[3], &low = saved[4];
    const auto& dy = gradients[0];
    const auto begins = context->saved_data["begins"].toIntVector(), rows = context->saved_data["rows"].toIntVector();
    Outputs outputs;
    for (size_t i = 0; i < begins.size(); ++i) outputs.push_back({.begin = begins[i], .rows = rows[i]});
    const auto rank = up.size(1);
    const auto up_computed = up.to(x.scalar_type());
    const auto dlow = at::empty_like(low);  // gradient of x down^T [T, k R]
    auto dup = context->needs_input_grad(2) ? at::empty_like(up) : at::Tensor();
    each_range(outputs, rank, [&](int64_t begin, int64_t count, int64_t low_begin, int64_t up_begin) {
      const auto dy_range = dy.narrow(1, begin, count);
      dlow.narrow(1, low_begin, rank).copy_(product(dy_range, up_computed.narrow(0, up_begin, count).t(), {}));
      if (dup.defined())
        dup.narrow(0, up_begin, count).copy_(weight_gradient(dy_range, low.narrow(1, low_begin, rank)));
    });
    dlow.mul_(context->saved_data["scale"].toDouble());
    at::Tensor dx, ddown;
    if (context->needs_input_grad(0)) dx = product(dy, weight.t(), {}).addmm_(dlow, down.to(x.scalar_type()));
    if (context->needs_input_grad(1)) ddown = weight_gradient(dlow, x).to(down.scalar_type());
    return {dx, ddown, dup, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor low_rank_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const LowRank& low_rank) {
  core::check_shape(x, {-1, weight.size(1)}, "low_rank_linear.x");
  if (!at::GradMode::is_enabled()) return multiply(x, weight, bias, low_rank).y;
  TORCH_INTERNAL_ASSERT(!weight.requires_grad());
  return LowRankLinear::apply(x, low_rank.down, low_rank.up, weight,
                              bias.defined() ? std::optional(bias) : std::nullopt, low_rank);
}

at::Tensor low_rank_weight(const LowRank& low_rank, size_t range) {
  const auto rank = low_rank.rank();
  at::Tensor result;
  size_t index = 0;
  each_range(low_rank.outputs, rank, [&](int64_t, int64_t rows, int64_t low_begin, int64_t up_begin) {
    if (index++ != range) return;
    result = at::mm(low_rank.up.narrow(0, up_begin, rows), low_rank.down.narrow(0, low_begin, rank));
  });
  return result.mul_(low_rank.scale);
}

at::Tensor merged_weight(const at::Tensor& weight, const LowRank& low_rank) {
  const auto dtype = at::promote_types(weight.scalar_type(), at::kFloat);
  auto sum = weight.to(dtype, /*non_blocking=*/false, /*copy=*/true);
  for (size_t i = 0; i < low_rank.outputs.size(); ++i)
    sum.narrow(0, low_rank.outputs[i].begin, low_rank.outputs[i].rows).add_(low_rank_weight(low_rank, i));
  return sum.to(weight.scalar_type());
}

}  // namespace sightloop::kernels
