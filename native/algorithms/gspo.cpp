#include <ATen/ATen.h>

#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// GSPO, arXiv:2507.18071 eq. 5 and 7: the ratio, its clipping and its gradient belong to the whole completion.
//   J = 1/G sum_i min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i)
//   s_i = (policy(o_i) / old policy(o_i))^(1/|o_i|) = exp(1/|o_i| sum_t log r_it)
//   A_i = (R_i - mean(R)) / (deviation(R) + 1e-4) of the group
// Every token of a completion gets s_i, so that sequence_mean gives the equation.
namespace sightloop::algorithms {
namespace {

Gains clipped_sequence_ratio(const LossInputs& inputs, const SurrogateOptions& options) {
  const auto log_ratio = inputs.logprobs - inputs.old_logprobs;
  const auto lengths = sum_by_sequence(at::ones_like(inputs.old_logprobs), inputs.sequences);
  const auto mean = (sum_by_sequence(log_ratio, inputs.sequences) / lengths).index_select(0, inputs.sequences);
  const auto bounded = clamp_log_ratio(mean, options.log_ratio_clamp);
  auto gains = clipped(bounded.value.exp(), inputs.advantages, options.clip);
  gains.clamped_log_ratios = bounded.count;
  return gains;
}

}  // namespace

std::unique_ptr<Algorithm> create_gspo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options,
                                          normalized_returns(options, scope_named(options.at("advantage_centre")),
                                                             scope_named(options.at("advantage_scale"))),
                                          clipped_sequence_ratio);
}

}  // namespace sightloop::algorithms
