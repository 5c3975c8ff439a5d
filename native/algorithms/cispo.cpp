#include <ATen/ATen.h>

#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// CISPO, arXiv:2506.13585 eq. 4 and 5: REINFORCE weighted by a clipped ratio, so that no token loses its gradient.
//   J = 1/sum_i |o_i| sum_i sum_t stop_gradient(clip(r_it, 1 - low, 1 + high)) A_i log policy(o_it)
//   A_i = (R_i - mean(R)) / (deviation(R) + 1e-4) of the group
// The paper leaves the lower bound off.
namespace sightloop::algorithms {
namespace {

Gains clipped_weight(const LossInputs& inputs, const SurrogateOptions& options) {
  const auto log_ratio = clamp_log_ratio((inputs.logprobs - inputs.old_logprobs).detach(), options.log_ratio_clamp);
  const auto ratio = log_ratio.value.exp();
  const auto& [low, high, dual] = options.clip;
  return {.value = ratio.clamp(1 - low, 1 + high) * inputs.advantages * inputs.logprobs,
          .clipped_low = ratio.lt(1 - low),
          .clipped_high = ratio.gt(1 + high),
          .clamped_log_ratios = log_ratio.count};
}

}  // namespace

std::unique_ptr<Algorithm> create_cispo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options,
                                          normalized_returns(options, scope_named(options.at("advantage_centre")),
                                                             scope_named(options.at("advantage_scale"))),
                                          clipped_weight);
}

}  // namespace sightloop::algorithms
