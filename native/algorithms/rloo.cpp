#include "algorithms/families.h"
#include "algorithms/policy_gradient.h"

// RLOO, arXiv:2402.14740 eq. 7: REINFORCE of whole completions, each against the mean of the others of its prompt.
//   A_i = S_i - 1/(G - 1) sum_{j != i} S_j,   S_i = R_i - kl_reward_coefficient sum_t KL_it
// With one update a step its gradient is that of the expected S; further ones are held by the clipped ratio.
namespace sightloop::algorithms {
namespace {

std::vector<double> leave_one_out(const AdvantageInputs& inputs, const KlReward& kl) {
  const auto returns = token_returns(inputs, /*gamma=*/1, kl);
  const auto score = [&](size_t row) {  // the return of the first token
    double first = 0;
    bool found = false;
    each_token(inputs, row, [&](size_t token) {
      if (!found) first = returns[token];
      found = true;
    });
    return first;
  };
  std::vector<double> advantages(returns.size(), 0);
  for (const auto [begin, end] : row_groups(inputs)) {
    const double start = score(begin), others = static_cast<double>(end - begin) - 1;
    double total = 0;  // above the first, so that equal scores give exactly 0
    for (auto row = begin; row < end; ++row) total += score(row) - start;
    for (auto row = begin; row < end; ++row) {
      const double own = score(row) - start;
      each_token(inputs, row,
                 [&](size_t token) { advantages[token] = others == 0 ? 0 : own - (total - own) / others; });
    }
  }
  return advantages;
}

}  // namespace

std::unique_ptr<Algorithm> create_rloo(const nlohmann::json& options) {
  return std::make_unique<PolicyGradient>(
      options, [kl = kl_reward(options)](const AdvantageInputs& inputs) { return leave_one_out(inputs, kl); },
      clipped_token_ratio);
}

}  // namespace sightloop::algorithms
