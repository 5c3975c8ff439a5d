#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/check.h"
#include "kernels/head_rows.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

constexpr int64_t kChunkElements = int64_t{1} << 24;        // logits held at once: 64 MiB of float32
constexpr int64_t kDeviceChunkElements = int64_t{1} << 27;  // 512 MiB: hundreds of rows fill a device
constexpr int64_t kFewestRows = 128;  // of a chunk: fewer, and the weight's traffic outweighs the product

int64_t chunk_rows(const at::Tensor& weight) {
  return std::max(kFewestRows, (weight.is_cpu() ? kChunkElements : kDeviceChunkElements) / weight.size(0));
}

// [rows, V] float32, divided by the temperature
at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& weight, double temperature, Products products) {
  auto logits = head_logits(hidden, weight, products);
  return temperature == 1.0 ? logits : logits.div_(temperature);
}

// [V, D] float32
at::Tensor head_weight_gradient(const at::Tensor& d, const at::Tensor& narrow, const at::Tensor& hidden) {
  if (hidden.is_cuda() && hidden.scalar_type() != at::kFloat) return at::mm(narrow.t(), hidden, at::kFloat);
  return weight_gradient(d, hidden.to(at::kFloat));
}

class HeadFunction : public torch::autograd::Function<HeadFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                                                const at::Tensor& weight, const at::Tensor& targets, double temperature,
                                                Products products) {
    const auto rows = hidden.size(0), step = chunk_rows(weight);
    const auto one = [&] { return at::empty({rows}, hidden.options().dtype(at::kFloat)); };
    const HeadRows results{.logprobs = one(), .entropy = one(), .log_sums = one()};
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto logits = chunk_logits(hidden.narrow(0, begin, count), weight, temperature, products);  // [count, V]
      sum_rows(logits, targets.narrow(0, begin, count), results.narrow(begin, count));
    }
    context->set_materialize_grads(false);  // an output nobody used has no gradient, rather than one of zeros
    context->save_for_backward({hidden, weight, targets, results.logprobs, results.entropy, results.log_sums});
    context->saved_data["temperature"] = temperature;
    return {results.logprobs, results.entropy};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &hidden = saved[0], &weight = saved[1], &targets = saved[2];
    const HeadRows results{.logprobs = saved[3], .entropy = saved[4], .log_sums = saved[5]};
    const auto temperature = context->saved_data["temperature"].toDouble();
    const auto rows = hidden.size(0), step = chunk_rows(weight);
    const auto scaled = [&](const at::Tensor& gradient) {
      return gradient.defined() ? gradient.to(at::kFloat).div(temperature).contiguous()
                                : at::zeros_like(results.entropy);
    };
    const auto dlogprobs = scaled(gradients[0]), dentropy = scaled(gradients[1]);
    at::Tensor dhidden, dweight;
    if (context->needs_input_grad(0)) dhidden = at::empty_like(hidden);
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto input = hidden.narrow(0, begin, count);
      auto d = chunk_logits(input, weight, temperature, Products::fastest);  // [count, V], logits first
      differentiate_rows(d, targets.narrow(0, begin, count), results.narrow(begin, count),
                         dlogprobs.narrow(0, begin, count), dentropy.narrow(0, begin, count));
      const auto narrow = d.to(weight.scalar_type());
      if (dhidden.defined()) dhidden.narrow(0, begin, count).copy_(product(narrow, weight.t(), {}));
      if (!context->needs_input_grad(1)) continue;
      const auto part = head_weight_gradient(d, narrow, input);
      dweight = dweight.defined() ? dweight.add_(part) : part;
    }
    if (dweight.defined()) dweight = dweight.to(weight.scalar_type());
    return {dhidden, dweight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

HeadLogprobs lm_head_logprobs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                              double temperature, Products products) {
  core::check_shape(weight, {-1, hidden.size(1)}, "lm_head.weight");
  core::check_shape(targets, {hidden.size(0)}, "lm_head_logprobs.targets");
  TORCH_CHECK(temperature > 0, "lm_head_logprobs: temperature must be > 0, got ", temperature);
  TORCH_CHECK(
      targets.numel() == 0 || (targets.min().item<int64_t>() >= 0 && targets.max().item<int64_t>() < weight.size(0)),
      "lm_head_logprobs: a target is outside the vocabulary of ", weight.size(0));
  const auto results =
      HeadFunction::apply(hidden.contiguous(), weight, targets.to(hidden.device()).contiguous(), temperature, products);
  return {.logprobs = results[0], .entropy = results[1]};
}

}  // namespace sightloop::kernels
