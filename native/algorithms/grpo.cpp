#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/families.h"

// GRPO (arXiv:2402.03300): A = (reward - mean of the group) / (standard deviation of the group + 1e-4), the same for
// every token of a completion; the deviation is the population's. Without the division: Dr. GRPO (arXiv:2503.20783).
namespace sightloop::algorithms {
namespace {

constexpr double kEpsilon = 1e-4;

class Grpo final : public Algorithm {
 public:
  explicit Grpo(const nlohmann::json& options)
      : Algorithm(options.at("loss_aggregation"), options.at("max_completion_tokens")),
        clip_{.clip_ratio_low = options.at("clip_ratio_low"),
              .clip_ratio_high = options.at("clip_ratio_high"),
              .kl_loss_coefficient = options.at("kl_loss_coefficient")},
        scale_by_std_(options.at("scale_by_std")),
        skip_(options.at("skip_zero_advantage_groups")) {}

  std::vector<float> advantages(const AdvantageInputs& inputs, collectives::ProcessGroup& /*ranks*/) const override {
    std::vector<float> result(inputs.completion_mask.size(), 0.0F);
    for (size_t begin = 0, end = 0; begin < inputs.rewards.size(); begin = end) {
      while (end < inputs.rewards.size() && inputs.prompt_ids[end] == inputs.prompt_ids[begin]) ++end;
      const auto count = static_cast<double>(end - begin);
      double mean = 0, variance = 0;
      for (size_t row = begin; row < end; ++row) mean += inputs.rewards[row];
      mean /= count;  // exact for equal rewards: their advantages are exactly 0
      for (size_t row = begin; row < end; ++row) variance += std::pow(inputs.rewards[row] - mean, 2) / count;
      const double scale = scale_by_std_ ? 1 / (std::sqrt(variance) + kEpsilon) : 1;
      for (size_t row = begin; row < end; ++row)
        for (auto token = inputs.offsets[row]; token < inputs.offsets[row + 1]; ++token)
          if (inputs.completion_mask[token] != 0)
            result[token] = static_cast<float>((inputs.rewards[row] - mean) * scale);
    }
    return result;
  }

  Loss loss(const LossInputs& inputs) const override { return clipped_surrogate(inputs, clip_); }
  bool needs_reference() const override { return clip_.kl_loss_coefficient != 0; }
  bool skips_zero_advantage_groups() const override { return skip_; }

 private:
  ClipOptions clip_;
  bool scale_by_std_, skip_;
};

}  // namespace

std::unique_ptr<Algorithm> create_grpo(const nlohmann::json& options) { return std::make_unique<Grpo>(options); }

}  // namespace sightloop::algorithms
