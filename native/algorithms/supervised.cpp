#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "algorithms/families.h"

// Maximum likelihood: loss = -sum(weights * log p). The warm start of RL, and the baseline it is compared with.
namespace sightloop::algorithms {
namespace {

class Supervised final : public Algorithm {
 public:
  explicit Supervised(const nlohmann::json& options)
      : Algorithm(options.at("loss_aggregation"), options.at("max_completion_tokens")) {}

  std::vector<float> advantages(const AdvantageInputs& inputs, collectives::ProcessGroup& /*ranks*/) const override {
    std::vector<float> ones(inputs.completion_mask.size());
    for (size_t token = 0; token < ones.size(); ++token) ones[token] = inputs.completion_mask[token] != 0 ? 1.0F : 0.0F;
    return ones;
  }

  Loss loss(const LossInputs& inputs) const override {
    const auto loss = -(inputs.logprobs * inputs.weights).sum();
    return {.loss = loss, .policy_loss = loss.item<double>(), .ratio_max = 1};
  }

  bool needs_reference() const override { return false; }
};

}  // namespace

std::unique_ptr<Algorithm> create_supervised(const nlohmann::json& options) {
  return std::make_unique<Supervised>(options);
}

}  // namespace sightloop::algorithms
