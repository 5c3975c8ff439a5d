#include "algorithms/policy_gradient.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace sightloop::algorithms {
namespace {

double bound_or_none(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::infinity() : json.get<double>();
}

double count(const at::Tensor& tokens) { return tokens.defined() ? tokens.sum().item<double>() : 0; }

Aggregation aggregation_of(const nlohmann::json& options) {
  const auto block = options.value("loss_block_completions", nlohmann::json());
  return {.name = options.at("loss_aggregation"),
          .max_completion_tokens = options.at("max_completion_tokens"),
          .block_completions = block.is_null() ? 0 : block.get<int64_t>()};
}

}  // namespace

std::array<double*, 11> LossSums::sums() {
  return {&policy_loss,    &kl_reference,       &kl_old_policy,      &clipped_low,
          &clipped_high,   &dual_clipped,       &clamped_log_ratios, &importance_count,
          &importance_sum, &importance_squares, &importance_capped};
}

LossSums& LossSums::operator+=(LossSums other) {
  for (size_t i = 0; i < sums().size(); ++i) *sums()[i] += *other.sums()[i];
  for (size_t i = 0; i < maxima().size(); ++i) *maxima()[i] = std::max(*maxima()[i], *other.maxima()[i]);
  return *this;
}

Gains clipped(const at::Tensor& ratio, const at::Tensor& advantages, const Clip& clip) {
  const auto bounded = ratio.clamp(1 - clip.low, 1 + clip.high);
  const auto free_gain = ratio * advantages, bounded_gain = bounded * advantages;
  const auto clipped = bounded_gain.lt(free_gain).detach(), raised = advantages.gt(0);
  Gains gains{.value = at::minimum(free_gain, bounded_gain),
              .clipped_low = clipped.logical_and(raised.logical_not()),
              .clipped_high = clipped.logical_and(raised)};
  if (clip.dual) {
    const auto floor = *clip.dual * advantages;
    gains.dual_clipped = advantages.lt(0).logical_and(gains.value.detach().lt(floor));
    gains.value = at::where(gains.dual_clipped, floor, gains.value);
  }
  return gains;
}

Gains clipped_token_ratio(const LossInputs& inputs, const SurrogateOptions& options) {
  const auto log_ratio = clamp_log_ratio(inputs.logprobs - inputs.old_logprobs, options.log_ratio_clamp);
  auto gains = clipped(log_ratio.value.exp(), inputs.advantages, options.clip);
  gains.clamped_log_ratios = log_ratio.count;
  return gains;
}

PolicyGradient::PolicyGradient(const nlohmann::json& options, AdvantageRule advantages, Surrogate surrogate)
    : Algorithm(aggregation_of(options)),
      advantages_(std::move(advantages)),
      surrogate_(surrogate),
      surrogate_options_{.clip = {.low = bound_or_none(options.at("clip_ratio_low")),
                                  .high = bound_or_none(options.at("clip_ratio_high"))},
                         .log_ratio_clamp = options.at("log_ratio_clamp")},
      kl_loss_coefficient_(options.at("kl_loss_coefficient")),
      entropy_coefficient_(options.at("entropy_coefficient")),
      kl_loss_estimator_(estimator_named(options.at("kl_loss_estimator"))),
      kl_loss_unbiased_(options.at("kl_loss_unbiased")),
      needs_reference_(kl_loss_coefficient_ != 0 || options.at("kl_reward_coefficient").get<double>() != 0),
      skips_zero_advantage_groups_(options.value("skip_zero_advantage_groups", false)),
      importance_(importance_correction(options.at("importance_correction"))) {
  if (const auto dual = options.value("dual_clip", nlohmann::json()); !dual.is_null())
    surrogate_options_.clip.dual = dual.get<double>();
}

Loss PolicyGradient::loss(const LossInputs& inputs) const {
  LossSums sums;
  const auto gains = surrogate_(inputs, surrogate_options_);
  auto weights = inputs.weights;
  if (importance_) {
    TORCH_CHECK(inputs.rollout_logprobs.defined(), "importance_correction needs the sampler's log-probs");
    weights = weights * importance_weights(*importance_, inputs, surrogate_options_.log_ratio_clamp, sums);
  }
  const auto policy_loss = -(gains.value * weights).sum();
  auto loss = policy_loss;
  if (inputs.reference_logprobs.defined()) {
    const auto kl = kl_term(inputs, sums);
    if (kl.defined()) loss = loss + kl_loss_coefficient_ * (kl * inputs.weights).sum();
  }
  if (entropy_coefficient_ != 0) {
    TORCH_CHECK(inputs.entropy.defined(), "entropy_coefficient needs the policy's entropy");
    loss = loss - entropy_coefficient_ * (inputs.entropy * inputs.weights).sum();
  }
  sums.policy_loss = policy_loss.item<double>();
  sums.clipped_low = count(gains.clipped_low);
  sums.clipped_high = count(gains.clipped_high);
  sums.dual_clipped = count(gains.dual_clipped);
  sums.clamped_log_ratios += gains.clamped_log_ratios;
  const auto log_ratio = (inputs.logprobs - inputs.old_logprobs).detach();
  const auto of_old = clamp_log_ratio(-log_ratio, surrogate_options_.log_ratio_clamp).value;
  sums.kl_old_policy = estimate(Estimator::k3, of_old).sum().item<double>();
  if (log_ratio.numel() > 0) sums.ratio_max = (-of_old).max().exp().item<double>();
  return {.loss = loss, .sums = sums};
}

// Of every token; undefined if it is measured only.
at::Tensor PolicyGradient::kl_term(const LossInputs& inputs, LossSums& sums) const {
  const auto bound = surrogate_options_.log_ratio_clamp;
  const auto difference = clamp_log_ratio(inputs.logprobs - inputs.reference_logprobs, bound);
  sums.clamped_log_ratios += difference.count;
  sums.kl_reference = estimate(Estimator::k3, difference.value.detach()).sum().item<double>();
  if (kl_loss_coefficient_ == 0) return {};
  const auto kl = estimate(kl_loss_estimator_, difference.value);
  if (!kl_loss_unbiased_) return kl;
  // E_old[ratio * KL], differentiated through both factors: the gradient of KL(policy || reference) itself.
  const auto ratio = clamp_log_ratio(inputs.logprobs - inputs.old_logprobs, bound);
  sums.clamped_log_ratios += ratio.count;
  return ratio.value.exp() * kl;
}

KlReward kl_reward(const nlohmann::json& options) {
  return {.coefficient = options.at("kl_reward_coefficient"),
          .estimator = estimator_named(options.at("kl_reward_estimator")),
          .log_ratio_clamp = options.at("log_ratio_clamp")};
}

AdvantageRule normalized_returns(const nlohmann::json& options, Scope centre, Scope scale) {
  return
      [kl = kl_reward(options), how = Normalization{.centre = centre, .scale = scale}](const AdvantageInputs& inputs) {
        auto values = token_returns(inputs, /*gamma=*/1, kl);
        normalize(values, inputs, how);
        return values;
      };
}

}  // namespace sightloop::algorithms
