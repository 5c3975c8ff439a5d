#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

// An algorithm turns rewards into advantages, and log-probs into a loss. It never sees the networks.
// R completions (rows), L tokens of all rows laid flat, M completion tokens of one microbatch, of S whole completions.
namespace sightloop::algorithms {

struct AdvantageInputs {
  std::span<const int64_t> prompt_ids;        // [R] rows of one group are consecutive
  std::span<const int32_t> offsets;           // [R + 1] into the flat columns
  std::span<const uint8_t> completion_mask;   // [L] 1 = sampled token
  std::span<const float> rewards;             // [R]
  std::span<const float> policy_logprobs;     // [L] nats, of the policy that sampled
  std::span<const float> reference_logprobs;  // [L] nats, or empty
};

struct LossInputs {
  at::Tensor logprobs;            // [M] nats, requires grad
  at::Tensor entropy;             // [M] nats, requires grad; read by an entropy bonus only
  at::Tensor old_logprobs;        // [M] nats
  at::Tensor rollout_logprobs;    // [M] nats, as the sampler recorded them; read by an importance correction only
  at::Tensor reference_logprobs;  // [M] nats, or undefined
  at::Tensor advantages;          // [M]
  at::Tensor weights;             // [M] the loss is sum(weights * token losses); see token_weights
  at::Tensor sequences;           // [M] int64, which of the S completions a token belongs to, from 0
};

// Sums over the tokens of microbatches; maxima where the name says so.
struct LossSums {
  double policy_loss = 0;                                                              // weighted, like the loss
  double kl_reference = 0;                                                             // k3, nats
  double kl_old_policy = 0;                                                            // k3, nats
  double clipped_low = 0, clipped_high = 0, dual_clipped = 0, clamped_log_ratios = 0;  // tokens
  double ratio_max = 0;
  // Of the importance correction: tokens or completions, by its level.
  double importance_count = 0, importance_sum = 0, importance_squares = 0, importance_capped = 0, importance_max = 0;

  std::array<double*, 11> sums();
  std::array<double*, 2> maxima() { return {&ratio_max, &importance_max}; }
  LossSums& operator+=(LossSums other);
};

struct Loss {
  at::Tensor loss;  // the only one that carries a gradient
  LossSums sums;
};

// How token losses become one loss.
struct Aggregation {
  std::string name;
  int64_t max_completion_tokens = 0;  // divisor of "constant"
  int64_t block_completions = 0;      // of "block_token_mean"
};

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  //   returns [L]; 0 where the mask is 0
  virtual std::vector<double> advantages(const AdvantageInputs& inputs) const = 0;
  virtual Loss loss(const LossInputs& inputs) const = 0;
  virtual bool needs_reference() const = 0;
  virtual bool skips_zero_advantage_groups() const { return false; }
  const Aggregation& aggregation() const { return aggregation_; }

 protected:
  explicit Algorithm(Aggregation aggregation) : aggregation_(std::move(aggregation)) {}

 private:
  Aggregation aggregation_;
};

// Builds the algorithm that `options["name"]` names; its other keys are those of AlgorithmOptions in the TypeScript layer.
std::unique_ptr<Algorithm> create(const nlohmann::json& options);

// The weight of every token of each row, so that sum(weights * token losses) over one minibatch is
//   token_mean        mean over completion tokens
//   sequence_mean     mean over completions of each one's token mean
//   constant          sum / (completions * max_completion_tokens), arXiv:2503.20783
//   block_token_mean  mean over consecutive blocks of block_completions rows of each one's token mean: what a token mean
//                     inside every backward batch amounts to
// however the minibatch is cut.   completion_lengths: tokens of each row of the minibatch
std::vector<double> token_weights(const Aggregation& aggregation, std::span<const int64_t> completion_lengths);

}  // namespace sightloop::algorithms
