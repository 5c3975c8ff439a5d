#include <ATen/ATen.h>

#include "algorithms/algorithm.h"

namespace sightloop::algorithms {
namespace {

constexpr double kMaxLogRatio = 20;

struct LogRatio {
  at::Tensor value;
  double clamped;  // tokens beyond the clamp
};

LogRatio clamped_log_ratio(const at::Tensor& log_ratio) {
  return {.value = log_ratio.clamp(-kMaxLogRatio, kMaxLogRatio),
          .clamped = log_ratio.detach().abs().gt(kMaxLogRatio).sum().item<double>()};
}

}  // namespace

Loss clipped_surrogate(const LossInputs& inputs, const ClipOptions& options) {
  const auto log_ratio = clamped_log_ratio(inputs.logprobs - inputs.old_logprobs);
  const auto ratio = log_ratio.value.exp();
  const auto clipped = ratio.clamp(1 - options.clip_ratio_low, 1 + options.clip_ratio_high);
  const auto free_gain = ratio * inputs.advantages, clipped_gain = clipped * inputs.advantages;
  const auto policy_loss = -(at::minimum(free_gain, clipped_gain) * inputs.weights).sum();

  Loss result{.loss = policy_loss,
              .policy_loss = policy_loss.item<double>(),
              .kl_old_policy = (ratio - 1 - log_ratio.value).detach().sum().item<double>(),
              .clipped_tokens = clipped_gain.lt(free_gain).sum().item<double>(),
              .clamped_log_ratios = log_ratio.clamped,
              .ratio_max = ratio.numel() == 0 ? 0 : ratio.detach().max().item<double>()};
  if (inputs.reference_logprobs.defined()) {
    const auto to_reference = clamped_log_ratio(inputs.reference_logprobs - inputs.logprobs);
    const auto k3 = to_reference.value.exp() - to_reference.value - 1;
    result.kl_reference = k3.detach().sum().item<double>();
    result.clamped_log_ratios += to_reference.clamped;
    if (options.kl_loss_coefficient != 0)
      result.loss = result.loss + options.kl_loss_coefficient * (k3 * inputs.weights).sum();
  }
  return result;
}

}  // namespace sightloop::algorithms
