#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// REINFORCE++ with a baseline, arXiv:2501.03262 section 3.2: the group's mean as baseline, the batch's deviation as scale,
// so that a group with rare successes is not blown up by its own small deviation.
//   A_i = (R_i - mean of the group) / sqrt(variance of these differences over the batch + 1e-8)
//   J = mean_t [ min(r_t A_t, clip(r_t, 1 - low, 1 + high) A_t) - beta k2_t ]
namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_reinforce_plus_plus_baseline(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options, normalized_returns(options, Scope::group, Scope::batch),
                                          clipped_token_ratio);
}

}  // namespace sightloop::algorithms
