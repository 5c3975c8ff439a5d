#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "algorithms/families.h"

// Maximum likelihood: loss = -sum(weights * log p). The warm start of RL, and the baseline it is compared with.
namespace sightloop::algorithms {
namespace {

class Supervised final : public Algorithm {
 public:
  explicit Supervised(const nlohmann::json& options)
      : Algorithm(
            {.name = options.at("loss_aggregation"), .max_completion_tokens = options.at("max_completion_tokens")}) {}

  std::vector<double> advantages(const AdvantageInputs& inputs) const override {
    std::vector<double> ones(inputs.completion_mask.size());
    for (size_t token = 0; token < ones.size(); ++token) ones[token] = inputs.completion_mask[token] != 0 ? 1 : 0;
    return ones;
  }

  Loss loss(const LossInputs& inputs) const override {
    const auto loss = -(inputs.logprobs * inputs.weights).sum();
    return {.loss = loss, .sums = {.policy_loss = loss.item<double>(), .ratio_max = 1}};
  }

  bool needs_reference() const override { return false; }
};

}  // namespace

std::unique_ptr<Algorithm> create_supervised(const nlohmann::json& options) {
  return std::make_unique<Supervised>(options);
}

}  // namespace sightloop::algorithms
