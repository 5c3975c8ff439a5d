#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "collectives/process_group.h"

// An algorithm turns rewards into advantages, and log-probs into a loss. It never sees the networks.
// R completions (rows), L tokens of all rows laid flat, M completion tokens of one microbatch.
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
  at::Tensor old_logprobs;        // [M] nats
  at::Tensor reference_logprobs;  // [M] nats, or undefined
  at::Tensor advantages;          // [M]
  at::Tensor weights;             // [M] the loss is sum(weights * token losses); see token_weights
};

// Sums over the microbatch's tokens; only `loss` carries a gradient.
struct Loss {
  at::Tensor loss;
  double policy_loss = 0;    // weighted, like loss
  double kl_reference = 0;   // k3, nats
  double kl_old_policy = 0;  // k3, nats
  double clipped_tokens = 0;
  double clamped_log_ratios = 0;
  double ratio_max = 0;
};

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  //   returns [L]; 0 where the mask is 0
  virtual std::vector<float> advantages(const AdvantageInputs& inputs, collectives::ProcessGroup& ranks) const = 0;
  virtual Loss loss(const LossInputs& inputs) const = 0;
  virtual bool needs_reference() const = 0;
  virtual bool skips_zero_advantage_groups() const { return false; }
  const std::string& loss_aggregation() const { return loss_aggregation_; }
  int64_t max_completion_tokens() const { return max_completion_tokens_; }

 protected:
  Algorithm(std::string loss_aggregation, int64_t max_completion_tokens)
      : loss_aggregation_(std::move(loss_aggregation)), max_completion_tokens_(max_completion_tokens) {}

 private:
  std::string loss_aggregation_;
  int64_t max_completion_tokens_;
};

// Builds the algorithm that `options["name"]` names; its other keys are those of AlgorithmOptions in the TypeScript layer.
std::unique_ptr<Algorithm> create(const nlohmann::json& options);

// The weight of every token of each row, so that sum(weights * token losses) over one minibatch and all ranks is
//   token_mean     mean over completion tokens
//   sequence_mean  mean over completions of each one's token mean
//   constant       sum / (completions * max_completion_tokens), arXiv:2503.20783
// however the minibatch is cut.   completion_lengths: tokens of each row of the minibatch on this rank
std::vector<double> token_weights(const std::string& aggregation, std::span<const int64_t> completion_lengths,
                                  int64_t max_completion_tokens, collectives::ProcessGroup& ranks);

struct ClipOptions {
  double clip_ratio_low, clip_ratio_high, kl_loss_coefficient;
};
// Clipped surrogate (arXiv:1707.06347 eq. 7, asymmetric bounds arXiv:2503.14476) plus the k3 estimate of
// KL(policy || reference), http://joschu.net/blog/kl-approx.html. Log-ratios are clamped to +-20 before exp.
Loss clipped_surrogate(const LossInputs& inputs, const ClipOptions& options);

}  // namespace sightloop::algorithms
