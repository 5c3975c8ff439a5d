#pragma once
#include <string>
#include <vector>

#include "algorithms/algorithm.h"
#include "algorithms/estimators.h"

// The steps from rewards to advantages that algorithms share. All values are [L], 0 where the completion mask is 0.
namespace sightloop::algorithms {

// What a mean or a deviation is taken over: the completions of one prompt, the whole batch, or not at all.
enum class Scope { group, batch, none };
Scope scope_named(const std::string& name);

struct KlReward {
  double coefficient = 0;
  Estimator estimator = Estimator::k1;
  double log_ratio_clamp = 20;
};

// return_t = sum_{k >= t} gamma^(k - t) [ reward at the last token - coefficient * KL_k ], KL of old policy and reference.
std::vector<double> token_returns(const AdvantageInputs& inputs, double gamma, const KlReward& kl);

struct Normalization {
  Scope centre, scale;
  // Every completion weighs the same and its tokens share its weight (deviation of the population), or every token
  // weighs the same (deviation of the sample: n - 1).
  bool weigh_tokens = false;
  // Adds the mean back after scaling.
  bool shift_mean = false;
  // Batch statistics are taken over consecutive blocks of so many completions; 0: over the whole batch.
  int64_t batch_completions = 0;
};

// Subtracts means, then divides by standard deviations: by deviation + 1e-4 in a group, sqrt(variance + 1e-8) in a
// batch. Equal values of a group become exactly 0.
void normalize(std::vector<double>& values, const AdvantageInputs& inputs, const Normalization& how);

struct RowRange {
  size_t begin, end;
};
// Consecutive rows of one prompt.
std::vector<RowRange> row_groups(const AdvantageInputs& inputs);

// Calls visit(token) for every completion token of a row, in order.
template <typename Visit>
void each_token(const AdvantageInputs& inputs, size_t row, const Visit& visit) {
  for (auto token = inputs.offsets[row]; token < inputs.offsets[row + 1]; ++token)
    if (inputs.completion_mask[token] != 0) visit(static_cast<size_t>(token));
}

}  // namespace sightloop::algorithms
