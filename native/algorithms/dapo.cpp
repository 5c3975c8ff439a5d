#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// DAPO, arXiv:2503.14476 eq. 8: GRPO with one mean over all tokens and a higher upper bound of the ratio.
//   J = 1/sum_i |o_i| sum_i sum_t min(r_it A_i, clip(r_it, 1 - low, 1 + high) A_i), low < high
//   A_i = (R_i - mean(R)) / (deviation(R) + 1e-4) of the group
// Its dynamic sampling (0 < number of correct completions < G) happens before the batch is made, its overlong shaping is a
// reward.
namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_dapo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options, normalized_returns(options, Scope::group, Scope::group),
                                          clipped_token_ratio);
}

}  // namespace sightloop::algorithms
