#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// REINFORCE++, arXiv:2501.03262 eq. 5 to 8, as MAYE uses it (arXiv:2504.02587): per completion token
//   return_t = sum_{k >= t} gamma^(k - t) [ reward at the last token - kl_reward_coefficient KL_k ]
//   A_t = (return_t - mean) / deviation, over the whole batch
//   J = mean_t min(r_t A_t, clip(r_t, 1 - low, 1 + high) A_t)
// whiten_shift_mean and whiten_completions are what MAYE's code does instead: the mean is added back, and each process
// whitens its own completions.
namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_reinforce_plus_plus(const nlohmann::json& options) {
  const Normalization how{.centre = scope_named(options.at("advantage_centre")),
                          .scale = scope_named(options.at("advantage_scale")),
                          .weigh_tokens = options.at("whiten_weight") == "token",
                          .shift_mean = options.at("whiten_shift_mean"),
                          .batch_completions = options.at("whiten_completions").is_null()
                                                   ? 0
                                                   : options.at("whiten_completions").get<int64_t>()};
  return std::make_unique<PolicyGradient>(
      options,
      [kl = kl_reward(options), gamma = options.at("gamma").get<double>(), how](const AdvantageInputs& inputs) {
        auto values = token_returns(inputs, gamma, kl);
        normalize(values, inputs, how);
        return values;
      },
      clipped_token_ratio);
}

}  // namespace sightloop::algorithms
