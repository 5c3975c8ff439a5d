#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// GRPO, arXiv:2402.03300 eq. 3, of G completions o_i of one prompt:
//   J = 1/G sum_i 1/|o_i| sum_t [ min(r_it A_i, clip(r_it, 1 - low, 1 + high) A_i) - beta KL_it ]
//   A_i = (R_i - mean(R)) / (deviation(R) + 1e-4), the population's; r_it = policy / old policy of token t
// Both scopes and the aggregation are the caller's: group, group and sequence_mean give the equation.
namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_grpo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options,
                                          normalized_returns(options, scope_named(options.at("advantage_centre")),
                                                             scope_named(options.at("advantage_scale"))),
                                          clipped_token_ratio);
}

}  // namespace sightloop::algorithms
