#include "pipeline/update/sums.h"

#include <algorithm>
#include <span>

namespace sightloop::update {

void Sums::reduce(collectives::ProcessGroup& ranks) {
  std::vector<double*> summed = {&entropy, &tokens, &loss, &computed_tokens};
  for (auto* sum : loss_sums.sums()) summed.push_back(sum);
  const auto over_ranks = [](const auto& parts, const auto& reduced) {
    std::vector<double> values;
    for (const auto* part : parts) values.push_back(*part);
    reduced(std::span(values));
    for (size_t i = 0; i < values.size(); ++i) *parts[i] = values[i];
  };
  over_ranks(summed, [&](std::span<double> values) { ranks.sum(values); });
  over_ranks(loss_sums.maxima(), [&](std::span<double> values) { ranks.max(values); });
}

void Sums::average(UpdateStats& stats) const {
  const double token_count = std::max(1.0, tokens), loss_count = std::max(1.0, minibatches);
  stats.loss = loss / loss_count;
  const auto& of_loss = loss_sums;
  stats.policy_loss = of_loss.policy_loss / loss_count;
  stats.kl_reference = of_loss.kl_reference / token_count;
  stats.kl_old_policy = of_loss.kl_old_policy / token_count;
  stats.clip_fraction_low = of_loss.clipped_low / token_count;
  stats.clip_fraction_high = of_loss.clipped_high / token_count;
  stats.clip_fraction = stats.clip_fraction_low + stats.clip_fraction_high;
  stats.dual_clip_fraction = of_loss.dual_clipped / token_count;
  stats.ratio_max = of_loss.ratio_max;
  stats.clamped_log_ratios = static_cast<int64_t>(of_loss.clamped_log_ratios);
  if (const double count = of_loss.importance_count; count > 0) {
    stats.importance_corrected = true;
    stats.importance_weight_mean = of_loss.importance_sum / count;
    stats.importance_weight_max = of_loss.importance_max;
    stats.importance_capped = of_loss.importance_capped / count;
    stats.effective_sample_size =
        of_loss.importance_sum * of_loss.importance_sum / (count * of_loss.importance_squares);
  }
  stats.entropy = entropy / token_count;
  stats.grad_norm = grad_norm / std::max(1.0, steps);
  stats.completion_tokens = static_cast<int64_t>(tokens);
  stats.computed_tokens = static_cast<int64_t>(computed_tokens);
}

}  // namespace sightloop::update
