#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

constexpr int64_t kChunkElements = int64_t{1} << 23;  // logits held at once: 32 MiB of float32

int64_t chunk_rows(int64_t vocabulary) { return std::max<int64_t>(16, kChunkElements / vocabulary); }

// [rows, V] float32, divided by the temperature
at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& weight, double temperature) {
  auto logits = head_logits(hidden, weight);
  return temperature == 1.0 ? logits : logits.div_(temperature);
}

class HeadFunction : public torch::autograd::Function<HeadFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                                                const at::Tensor& weight, const at::Tensor& targets,
                                                double temperature) {
    const auto rows = hidden.size(0), step = chunk_rows(weight.size(0));
    auto logprobs = at::empty({rows}, hidden.options().dtype(at::kFloat));
    auto entropy = at::empty_like(logprobs), log_sums = at::empty_like(logprobs);
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto logits = chunk_logits(hidden.narrow(0, begin, count), weight, temperature);  // [count, V]
      const auto log_sum = logits.logsumexp(-1);
      const auto target = logits.gather(1, targets.narrow(0, begin, count).unsqueeze(1)).squeeze(1);
      const auto mean_logit = (logits - log_sum.unsqueeze(1)).exp_().mul_(logits).sum(-1);
      logprobs.narrow(0, begin, count).copy_(target - log_sum);
      entropy.narrow(0, begin, count).copy_(log_sum - mean_logit);
      log_sums.narrow(0, begin, count).copy_(log_sum);
    }
    context->set_materialize_grads(false);  // an output nobody used has no gradient, rather than one of zeros
    context->save_for_backward({hidden, weight, targets, entropy, log_sums});
    context->saved_data["temperature"] = temperature;
    return {logprobs, entropy};
  }

  // d logprob / d logit_j = [j = target] - p_j;   d entropy / d logit_j = -p_j (log p_j + entropy)
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &hidden = saved[0], &weight = saved[1], &targets = saved[2], &entropy = saved[3], &log_sums = saved[4];
    const auto temperature = context->saved_data["temperature"].toDouble();
    const auto rows = hidden.size(0), step = chunk_rows(weight.size(0));
    at::Tensor dhidden, dweight;
    if (context->needs_input_grad(0)) dhidden = at::empty_like(hidden);
    if (context->needs_input_grad(1)) dweight = at::zeros(weight.sizes(), weight.options().dtype(at::kFloat));
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto cut = [&](const at::Tensor& x) { return x.narrow(0, begin, count); };
      const auto log_p = chunk_logits(cut(hidden), weight, temperature).sub_(cut(log_sums).unsqueeze(1));
      auto d = log_p.exp();  // [count, V]
      if (gradients[1].defined()) {
        auto slope = (log_p + cut(entropy).unsqueeze(1)).mul_(cut(gradients[1]).unsqueeze(1));
        if (gradients[0].defined()) slope.add_(cut(gradients[0]).unsqueeze(1));
        d.mul_(slope.neg_());
      } else {
        d.mul_(cut(gradients[0]).neg().unsqueeze(1));
      }
      if (gradients[0].defined()) d.scatter_add_(1, cut(targets).unsqueeze(1), cut(gradients[0]).unsqueeze(1));
      if (temperature != 1.0) d.div_(temperature);
      if (dhidden.defined()) cut(dhidden).copy_(at::mm(d.to(weight.scalar_type()), weight));
      if (dweight.defined()) dweight.addmm_(d.t(), cut(hidden).to(at::kFloat));
    }
    if (dweight.defined()) dweight = dweight.to(weight.scalar_type());
    return {dhidden, dweight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

HeadLogprobs lm_head_logprobs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                              double temperature) {
  core::check_shape(weight, {-1, hidden.size(1)}, "lm_head.weight");
  core::check_shape(targets, {hidden.size(0)}, "lm_head_logprobs.targets");
  TORCH_CHECK(temperature > 0, "lm_head_logprobs: temperature must be > 0, got ", temperature);
  const auto results = HeadFunction::apply(hidden.contiguous(), weight, targets, temperature);
  return {.logprobs = results[0], .entropy = results[1]};
}

}  // namespace sightloop::kernels
