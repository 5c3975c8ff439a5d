#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// Dr. GRPO, arXiv:2503.20783 eq. 5: GRPO without its two biases, the deviation and the length in the denominator.
//   J = 1/G sum_i 1/max_completion_tokens sum_t min(r_it A_i, clip(r_it, 1 - low, 1 + high) A_i)
//   A_i = R_i - mean(R) of the group
// On policy its gradient is that of the expected reward, times (G - 1) / (G max_completion_tokens).
namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_dr_grpo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(options, normalized_returns(options, Scope::group, Scope::none),
                                          clipped_token_ratio);
}

}  // namespace sightloop::algorithms
