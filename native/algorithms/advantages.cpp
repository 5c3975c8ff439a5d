#include "algorithms/advantages.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

namespace sightloop::algorithms {
namespace {

constexpr double kGroupEpsilon = 1e-4, kBatchEpsilon = 1e-8;

struct Statistics {
  double mean, variance;
};

// Calls visit(value, weight) for every completion token of the rows.
template <typename Values, typename Visit>
void each_weighted(Values& values, const AdvantageInputs& inputs, RowRange rows, bool weigh_tokens,
                   const Visit& visit) {
  for (auto row = rows.begin; row < rows.end; ++row) {
    double length = 0;
    each_token(inputs, row, [&](size_t) { length += 1; });
    each_token(inputs, row, [&](size_t token) { visit(values[token], weigh_tokens ? 1 : 1 / length); });
  }
}

// `exact`: sums start from the first value, so that equal values have exactly their mean.
Statistics statistics(const std::vector<double>& values, const AdvantageInputs& inputs, RowRange rows,
                      bool weigh_tokens, bool exact) {
  double start = 0;
  if (exact)
    for (auto row = rows.end; row-- > rows.begin;)
      each_token(inputs, row, [&](size_t token) { start = values[token]; });
  double total = 0, weights = 0, squares = 0;
  each_weighted(values, inputs, rows, weigh_tokens, [&](double value, double weight) {
    total += weight * (value - start);
    weights += weight;
  });
  if (weights == 0) return {.mean = 0, .variance = 0};
  const double mean = start + total / weights;
  each_weighted(values, inputs, rows, weigh_tokens,
                [&](double value, double weight) { squares += weight * (value - mean) * (value - mean); });
  return {.mean = mean, .variance = squares / (weigh_tokens ? std::max(1.0, weights - 1) : weights)};
}

}  // namespace

Scope scope_named(const std::string& name) {
  if (name == "group") return Scope::group;
  if (name == "batch") return Scope::batch;
  TORCH_CHECK(name == "none", "scope \"", name, "\" is not known: group, batch or none");
  return Scope::none;
}

std::vector<RowRange> row_groups(const AdvantageInputs& inputs) {
  std::vector<RowRange> groups;
  const auto rows = inputs.rewards.size();
  for (size_t begin = 0, end = 0; begin < rows; begin = end) {
    while (end < rows && inputs.prompt_ids[end] == inputs.prompt_ids[begin]) ++end;
    groups.push_back({.begin = begin, .end = end});
  }
  return groups;
}

std::vector<double> token_returns(const AdvantageInputs& inputs, double gamma, const KlReward& kl) {
  TORCH_CHECK(kl.coefficient == 0 || !inputs.reference_logprobs.empty(),
              "kl_reward_coefficient needs reference log-probs");
  std::vector<double> returns(inputs.completion_mask.size(), 0);
  for (size_t row = 0; row < inputs.rewards.size(); ++row) {
    double following = inputs.rewards[row], discount = 1;
    for (auto token = inputs.offsets[row + 1] - 1; token >= inputs.offsets[row]; --token) {
      if (inputs.completion_mask[token] == 0) continue;
      following *= discount;
      if (kl.coefficient != 0) {
        const double difference = static_cast<double>(inputs.policy_logprobs[token]) - inputs.reference_logprobs[token];
        following -=
            kl.coefficient * estimate(kl.estimator, std::clamp(difference, -kl.log_ratio_clamp, kl.log_ratio_clamp));
      }
      discount = gamma;
      returns[token] = following;
    }
  }
  return returns;
}

void normalize(std::vector<double>& values, const AdvantageInputs& inputs, const Normalization& how) {
  const auto rows = inputs.rewards.size();
  const auto parts = [&](Scope scope) -> std::vector<RowRange> {
    if (scope == Scope::group) return row_groups(inputs);
    if (how.batch_completions == 0) return {{.begin = 0, .end = rows}};
    std::vector<RowRange> blocks;
    const auto block = static_cast<size_t>(how.batch_completions);
    for (size_t begin = 0; begin < rows; begin += block)
      blocks.push_back({.begin = begin, .end = std::min(begin + block, rows)});
    return blocks;
  };
  const auto change = [&](Scope scope, const auto& changed) {
    if (scope == Scope::none) return;
    const bool exact = scope == Scope::group || how.batch_completions != 0;
    for (const auto part : parts(scope)) {
      const auto found = statistics(values, inputs, part, how.weigh_tokens, exact);
      for (auto row = part.begin; row < part.end; ++row)
        each_token(inputs, row, [&](size_t token) { values[token] = changed(values[token], found, token); });
    }
  };
  std::vector<double> means(how.shift_mean ? values.size() : 0, 0);
  change(how.centre, [&](double value, const Statistics& found, size_t token) {
    if (how.shift_mean) means[token] = found.mean;
    return value - found.mean;
  });
  change(how.scale, [&](double value, const Statistics& found, size_t) {
    return value / (how.scale == Scope::group ? std::sqrt(found.variance) + kGroupEpsilon
                                              : std::sqrt(found.variance + kBatchEpsilon));
  });
  for (size_t token = 0; token < means.size(); ++token) values[token] += means[token];
}

}  // namespace sightloop::algorithms
