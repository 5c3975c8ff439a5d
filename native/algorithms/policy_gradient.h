#pragma once
#include <functional>
#include <limits>
#include <optional>

#include "algorithms/advantages.h"
#include "algorithms/algorithm.h"
#include "algorithms/importance.h"

// What the reinforcement learning algorithms have in common. Each of them is a choice of
//   an advantage rule   rewards -> advantage of every token
//   a surrogate         log-probs and advantages -> gain of every token, whose weighted sum the update raises
// and the loss is
//   -sum_t w_t importance_t gain_t + kl_loss_coefficient sum_t w_t KL_t - entropy_coefficient sum_t w_t H_t
namespace sightloop::algorithms {

// Bounds of the ratio policy / old policy: [1 - low, 1 + high].
struct Clip {
  double low = std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  std::optional<double> dual =
      {};  // bound of the ratio's effect where the advantage is negative, arXiv:1912.09729 eq. 5
};

struct Gains {
  at::Tensor value;                                                   // [M], carries the gradient
  at::Tensor clipped_low = {}, clipped_high = {}, dual_clipped = {};  // [M] bool, or undefined for none
  double clamped_log_ratios = 0;                                      // tokens
};

struct SurrogateOptions {
  Clip clip;
  double log_ratio_clamp;
};

using AdvantageRule = std::function<std::vector<double>(const AdvantageInputs&)>;
using Surrogate = Gains (*)(const LossInputs&, const SurrogateOptions&);

// min(r A, clip(r) A), r = policy / old policy of the token (arXiv:1707.06347 eq. 7; asymmetric bounds
// arXiv:2503.14476); with a dual clip max(that, dual A) where A < 0.
Gains clipped_token_ratio(const LossInputs& inputs, const SurrogateOptions& options);
// The same of any ratio [M].
Gains clipped(const at::Tensor& ratio, const at::Tensor& advantages, const Clip& clip);

class PolicyGradient final : public Algorithm {
 public:
  // `options`: clip_ratio_low and clip_ratio_high (null: no bound), dual_clip, and the other shared switches.
  PolicyGradient(const nlohmann::json& options, AdvantageRule advantages, Surrogate surrogate);

  std::vector<double> advantages(const AdvantageInputs& inputs) const override { return advantages_(inputs); }
  Loss loss(const LossInputs& inputs) const override;
  bool needs_reference() const override { return needs_reference_; }
  bool skips_zero_advantage_groups() const override { return skips_zero_advantage_groups_; }

 private:
  at::Tensor kl_term(const LossInputs& inputs, LossSums& sums) const;

  AdvantageRule advantages_;
  Surrogate surrogate_;
  SurrogateOptions surrogate_options_;
  double kl_loss_coefficient_, entropy_coefficient_;
  Estimator kl_loss_estimator_;
  bool kl_loss_unbiased_, needs_reference_, skips_zero_advantage_groups_;
  std::optional<ImportanceCorrection> importance_;
};

KlReward kl_reward(const nlohmann::json& options);

// returns without discount, normalized by the scopes that the options name.
AdvantageRule normalized_returns(const nlohmann::json& options, Scope centre, Scope scale);

}  // namespace sightloop::algorithms
