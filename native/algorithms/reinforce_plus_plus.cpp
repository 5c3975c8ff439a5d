#include <c10/util/Exception.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/families.h"

// REINFORCE++ (arXiv:2501.03262) as MAYE uses it (arXiv:2504.02587): per completion token
//   return_t = sum_{k >= t} gamma^(k - t) [ reward at the last token - kl_reward_coefficient (log pi_old - log pi_ref)_k ]
//   A = (return - mean) / deviation, over the whole batch and all ranks.
namespace sightloop::algorithms {
namespace {

constexpr double kEpsilon = 1e-8;

class ReinforcePlusPlus final : public Algorithm {
 public:
  explicit ReinforcePlusPlus(const nlohmann::json& options)
      : Algorithm(options.at("loss_aggregation"), options.at("max_completion_tokens")),
        clip_{.clip_ratio_low = options.at("clip_ratio_low"),
              .clip_ratio_high = options.at("clip_ratio_high"),
              .kl_loss_coefficient = options.at("kl_loss_coefficient")},
        gamma_(options.at("gamma")),
        kl_reward_coefficient_(options.at("kl_reward_coefficient")),
        weigh_tokens_(options.at("whiten_weight") == "token"),
        shift_mean_(options.at("whiten_shift_mean")) {}

  std::vector<float> advantages(const AdvantageInputs& inputs, collectives::ProcessGroup& ranks) const override {
    auto returns = discounted_returns(inputs);
    whiten(returns, inputs, ranks);
    return {returns.begin(), returns.end()};
  }

  Loss loss(const LossInputs& inputs) const override { return clipped_surrogate(inputs, clip_); }
  bool needs_reference() const override { return clip_.kl_loss_coefficient != 0 || kl_reward_coefficient_ != 0; }

 private:
  std::vector<double> discounted_returns(const AdvantageInputs& inputs) const {
    TORCH_CHECK(kl_reward_coefficient_ == 0 || !inputs.reference_logprobs.empty(),
                "reinforce_plus_plus: kl_reward_coefficient needs reference log-probs");
    std::vector<double> returns(inputs.completion_mask.size(), 0);
    for (size_t row = 0; row < inputs.rewards.size(); ++row) {
      double following = inputs.rewards[row], discount = 1;
      for (auto token = inputs.offsets[row + 1] - 1; token >= inputs.offsets[row]; --token) {
        if (inputs.completion_mask[token] == 0) continue;
        const double kl = kl_reward_coefficient_ == 0
                              ? 0
                              : static_cast<double>(inputs.policy_logprobs[token]) - inputs.reference_logprobs[token];
        following = discount * following - kl_reward_coefficient_ * kl;
        discount = gamma_;
        returns[token] = following;
      }
    }
    return returns;
  }

  // Every completion weighs the same (its tokens share its weight), or every token does.
  void whiten(std::vector<double>& returns, const AdvantageInputs& inputs, collectives::ProcessGroup& ranks) const {
    const auto each = [&](const auto& visit) {
      for (size_t row = 0; row < inputs.rewards.size(); ++row) {
        double length = 0;
        for (auto token = inputs.offsets[row]; token < inputs.offsets[row + 1]; ++token)
          length += inputs.completion_mask[token];
        for (auto token = inputs.offsets[row]; token < inputs.offsets[row + 1]; ++token)
          if (inputs.completion_mask[token] != 0) visit(returns[token], weigh_tokens_ ? 1 : 1 / length);
      }
    };
    double sums[2] = {0, 0};
    each([&](double value, double weight) {
      sums[0] += weight * value;
      sums[1] += weight;
    });
    ranks.sum(sums);
    const double total = sums[1], mean = total > 0 ? sums[0] / total : 0;
    double square[1] = {0};
    each([&](double value, double weight) { square[0] += weight * (value - mean) * (value - mean); });
    ranks.sum(square);
    const double inverse = total > 0 ? 1 / std::sqrt(square[0] / total + kEpsilon) : 0;
    each([&](double& value, double) { value = (value - mean) * inverse + (shift_mean_ ? mean : 0); });
  }

  ClipOptions clip_;
  double gamma_, kl_reward_coefficient_;
  bool weigh_tokens_, shift_mean_;
};

}  // namespace

std::unique_ptr<Algorithm> create_reinforce_plus_plus(const nlohmann::json& options) {
  return std::make_unique<ReinforcePlusPlus>(options);
}

}  // namespace sightloop::algorithms
