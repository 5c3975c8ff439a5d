#pragma once
#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "algorithms/algorithm.h"

namespace sightloop::algorithms {

// Sampler and trainer compute the same log-probs only within rounding. What remains is corrected by the weight
// trainer probability / sampler probability of a token, or of a whole completion (the product), at old weights:
//   truncate  min(weight, cap)                                 (TIS: Yao et al. 2025, "Your Efficient RL Framework
//                                                               Secretly Brings You Off-Policy RL Training")
//   mask      weight where it is in [1 / cap, cap], else 0     (MIS: Liu et al. 2025, "When Speed Kills Stability";
//                                                               two-sided as in IcePop)
struct ImportanceCorrection {
  bool mask, sequence;
  double cap;
};

//   json null: none
std::optional<ImportanceCorrection> importance_correction(const nlohmann::json& json);

// Factor [M] of every token's gain; without gradient. Counts into `sums`, before the cap.
at::Tensor importance_weights(const ImportanceCorrection& correction, const LossInputs& inputs, double log_ratio_clamp,
                              LossSums& sums);

// Sum over each completion's tokens, and their number: [S] each. Differentiable.
at::Tensor sum_by_sequence(const at::Tensor& values, const at::Tensor& sequences);

}  // namespace sightloop::algorithms
