#pragma once
#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <vector>

#include "algorithms/algorithm.h"

// A policy small enough to enumerate: two tokens, 0 stops, at most two tokens, logits [2 positions, 2 tokens]. It has three
// completions: 0; 1 0; 1 1.
namespace bandit {

using Logits = std::vector<double>;  // [2 * 2], row-major

inline const std::vector<std::vector<int>> kCompletions = {{0}, {1, 0}, {1, 1}};
inline const std::vector<double> kRewards = {1, 0, 0.25};

inline double logprob(const Logits& logits, size_t position, int token) {
  const double a = logits[2 * position], b = logits[2 * position + 1];
  return logits[2 * position + token] - std::log(std::exp(a) + std::exp(b));
}

inline double entropy(const Logits& logits, size_t position) {
  double sum = 0;
  for (const int token : {0, 1}) sum -= std::exp(logprob(logits, position, token)) * logprob(logits, position, token);
  return sum;
}

inline double probability(const Logits& logits, int completion) {
  double sum = 0;
  for (size_t t = 0; t < kCompletions[completion].size(); ++t) sum += logprob(logits, t, kCompletions[completion][t]);
  return std::exp(sum);
}

// Which completion every row is, prompt after prompt.
struct Batch {
  std::vector<int> rows;
  size_t per_prompt;

  const std::vector<int>& tokens(size_t row) const { return kCompletions[rows[row]]; }
  double reward(size_t row) const { return kRewards[rows[row]]; }
  double length(size_t row) const { return static_cast<double>(tokens(row).size()); }
  double tokens_in_all() const {
    double sum = 0;
    for (size_t row = 0; row < rows.size(); ++row) sum += length(row);
    return sum;
  }
  double probability(const Logits& logits) const {
    double product = 1;
    for (const auto row : rows) product *= bandit::probability(logits, row);
    return product;
  }
};

inline void each_batch(size_t num_rows, size_t per_prompt, const std::function<void(const Batch&)>& visit) {
  Batch batch{.rows = std::vector<int>(num_rows, 0), .per_prompt = per_prompt};
  for (;;) {
    visit(batch);
    size_t row = 0;
    while (row < num_rows && ++batch.rows[row] == 3) batch.rows[row++] = 0;
    if (row == num_rows) return;
  }
}

// Policies of one update: `now` is differentiated, `old` are the weights before it, `sampler` drew the batch.
struct Policies {
  Logits now, old, sampler, reference;
};

struct Result {
  double loss;
  std::vector<double> gradient;  // d loss / d now
  sightloop::algorithms::LossSums sums;
};

// The algorithm's own loss of a batch whose prompts are one token each.
inline Result run(const sightloop::algorithms::Algorithm& algorithm, const Batch& batch, const Policies& policies) {
  using namespace sightloop::algorithms;
  std::vector<int64_t> prompt_ids, lengths, index, positions, sequences;
  std::vector<int32_t> offsets = {0};
  std::vector<uint8_t> mask;
  std::vector<float> rewards, policy, reference;
  std::vector<double> old, sampler, of_reference;
  for (size_t row = 0; row < batch.rows.size(); ++row) {
    prompt_ids.push_back(static_cast<int64_t>(row / batch.per_prompt));
    rewards.push_back(static_cast<float>(batch.reward(row)));
    lengths.push_back(static_cast<int64_t>(batch.tokens(row).size()));
    mask.push_back(0);
    policy.push_back(0);
    reference.push_back(0);
    for (size_t t = 0; t < batch.tokens(row).size(); ++t) {
      const auto token = batch.tokens(row)[t];
      mask.push_back(1);
      policy.push_back(static_cast<float>(logprob(policies.old, t, token)));
      reference.push_back(static_cast<float>(logprob(policies.reference, t, token)));
      old.push_back(logprob(policies.old, t, token));
      sampler.push_back(logprob(policies.sampler, t, token));
      of_reference.push_back(logprob(policies.reference, t, token));
      index.push_back(static_cast<int64_t>(2 * t) + token);
      positions.push_back(static_cast<int64_t>(t));
      sequences.push_back(static_cast<int64_t>(row));
    }
    offsets.push_back(static_cast<int32_t>(mask.size()));
  }
  const auto advantages = algorithm.advantages({.prompt_ids = prompt_ids,
                                                .offsets = offsets,
                                                .completion_mask = mask,
                                                .rewards = rewards,
                                                .policy_logprobs = policy,
                                                .reference_logprobs = reference});
  std::vector<double> of_tokens, weights;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) of_tokens.push_back(advantages[i]);
  const auto by_row = token_weights(algorithm.aggregation(), lengths);
  for (const auto sequence : sequences) weights.push_back(by_row[sequence]);

  const auto doubles = [](const std::vector<double>& values) { return at::tensor(values, at::kDouble); };
  const auto logits = doubles(policies.now).view({2, 2}).requires_grad_(true);
  const auto all = at::log_softmax(logits, 1);
  const auto loss =
      algorithm.loss({.logprobs = all.view({-1}).index_select(0, at::tensor(index, at::kLong)),
                      .entropy = -(all.exp() * all).sum(1).index_select(0, at::tensor(positions, at::kLong)),
                      .old_logprobs = doubles(old),
                      .rollout_logprobs = doubles(sampler),
                      .reference_logprobs = doubles(of_reference),
                      .advantages = doubles(of_tokens),
                      .weights = doubles(weights),
                      .sequences = at::tensor(sequences, at::kLong)});
  loss.loss.backward();
  const auto gradient = logits.grad().contiguous();
  return {.loss = loss.loss.item<double>(),
          .gradient = {gradient.data_ptr<double>(), gradient.data_ptr<double>() + 4},
          .sums = loss.sums};
}

// d f / d logits by central differences: exact to 1e-9 for what is smooth there.
inline std::vector<double> differentiate(const std::function<double(const Logits&)>& f, const Logits& at) {
  constexpr double kStep = 1e-5;
  std::vector<double> gradient;
  for (size_t i = 0; i < at.size(); ++i) {
    auto above = at, below = at;
    above[i] += kStep;
    below[i] -= kStep;
    gradient.push_back((f(above) - f(below)) / (2 * kStep));
  }
  return gradient;
}

}  // namespace bandit
