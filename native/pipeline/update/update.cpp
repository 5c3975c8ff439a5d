#include "pipeline/update/update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.h"
#include "core/stop.h"
#include "core/timings.h"
#include "models/completion_logprobs.h"
#include "modules/contexts.h"

namespace sightloop::update {
namespace {

using batches::RowGroup;

// Rows of all groups, the groups in random order.
std::vector<int64_t> shuffled_rows(const std::vector<RowGroup>& groups, uint64_t seed, uint64_t step, uint64_t epoch) {
  std::vector<int64_t> rows;
  for (const auto i : group_order(groups.size(), seed, step, epoch))
    rows.insert(rows.end(), groups[i].rows.begin(), groups[i].rows.end());
  return rows;
}

int64_t completion_tokens(const batches::RolloutBatch& batch, int64_t row) {
  const auto offsets = batches::values<int32_t>(batch.offsets);
  const auto mask = batches::values<uint8_t>(batch.completion_mask);
  return std::accumulate(mask.begin() + offsets[row], mask.begin() + offsets[row + 1], int64_t{0});
}

bool all_advantages_zero(const batches::TrajectoryBatch& batch, const RowGroup& group) {
  const auto offsets = batches::values<int32_t>(batch.rollouts.offsets);
  const auto advantages = batches::values<float>(batch.advantages);
  return std::all_of(group.rows.begin(), group.rows.end(), [&](int64_t row) {
    return std::all_of(advantages.begin() + offsets[row], advantages.begin() + offsets[row + 1],
                       [](float advantage) { return advantage == 0; });
  });
}

// Sums over completion tokens, for the means of UpdateStats.
struct Sums {
  algorithms::LossSums loss_sums;
  double entropy = 0, tokens = 0, loss = 0, computed_tokens = 0;
  double grad_norm = 0, steps = 0, minibatches = 0;  // the same on every rank

  void reduce(collectives::ProcessGroup& ranks) {
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
};

// [M] which completion each predicted token belongs to, from 0.
at::Tensor sequences_of(const batches::RolloutBatch& batch, std::span<const RowGroup> groups) {
  std::vector<int64_t> sequences;
  int64_t sequence = 0;
  for (const auto& group : groups)
    for (const auto row : group.rows) sequences.insert(sequences.end(), completion_tokens(batch, row), sequence++);
  return at::tensor(sequences, at::kLong);
}

class Minibatch {
 public:
  Minibatch(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options, UpdateStats& stats,
            Sums& sums)
      : learner_(learner), batch_(batch), options_(options), stats_(stats), sums_(sums) {}

  void run(std::span<const int64_t> rows) {
    const auto sums_before = sums_;
    const auto stats_before = stats_;
    sums_.minibatches += 1;
    const bool reduces_microbatches = learner_.optimizer.reduces_microbatches();
    if (!accumulate(rows, reduces_microbatches)) {
      stats_.learning_rate = learner_.optimizer.pass();
      return;
    }
    core::Stopwatch watch;
    learner_.optimizer.reduce_gradients();
    double loss = sums_.loss - sums_before.loss;
    learner_.ranks.sum({&loss, 1});
    stats_.reduce_seconds += watch.lap();
    const double norm = learner_.optimizer.grad_norm();
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      skip(rows, loss, norm);
      sums_ = sums_before;
      stats_.ratio_max = stats_before.ratio_max;
      stats_.clamped_log_ratios = stats_before.clamped_log_ratios;
      return;
    }
    stats_.learning_rate = learner_.optimizer.step(norm);
    stats_.optimizer_seconds += watch.lap();
    sums_.grad_norm += norm;
    sums_.steps += 1;
  }

  // Adds the gradient of those of these rows that are this rank's to the parameters, or, with `reduces`, that of every microbatch
  // to all ranks'; false if no rank had any to learn from.
  bool accumulate(std::span<const int64_t> rows, bool reduces) {
    learner_.model.parameters().set_sums_at_once(!reduces);
    // What a failed call left behind must not enter this minibatch.
    learner_.optimizer.clear_gradients();
    auto groups = batches::group_rows(batch_.rollouts, rows);
    const auto weights = flat_weights(rows);
    if (learner_.algorithm.skips_zero_advantage_groups())
      std::erase_if(groups, [&](const RowGroup& group) {
        const bool skipped = all_advantages_zero(batch_, group);
        if (skipped) stats_.skipped_completions += static_cast<int64_t>(group.rows.size());
        return skipped;
      });
    if (groups.empty()) return false;
    if (!options_.own_rows.empty())
      std::erase_if(groups, [&](const RowGroup& group) { return options_.own_rows[group.rows.front()] == 0; });
    const auto passes = batches::plan_microbatches(batch_.rollouts, groups, options_.tokens_per_microbatch);
    auto most = static_cast<double>(passes.size());
    if (reduces) learner_.ranks.max({&most, 1});
    for (size_t i = 0; i < static_cast<size_t>(most); ++i) {
      if (i < passes.size()) microbatch(passes[i], weights);
      if (!reduces) continue;
      core::Stopwatch watch;
      learner_.optimizer.reduce_microbatch();
      stats_.reduce_seconds += watch.lap();
    }
    return true;
  }

 private:
  void skip(std::span<const int64_t> rows, double loss, double norm) {
    core::Divergence what{.optimizer_step = learner_.optimizer.steps(),
                          .loss = loss,
                          .grad_norm = norm,
                          .parameters = learner_.optimizer.non_finite_gradients(),
                          .rows = {rows.begin(), rows.end()}};
    learner_.optimizer.clear_gradients();
    if (learner_.optimizer.consecutive_skips() >= options_.max_consecutive_skips)
      throw core::Diverged("the loss or a gradient is not finite", std::move(what));
    stats_.learning_rate = learner_.optimizer.skip();
    stats_.skipped_updates += 1;
    stats_.divergences.push_back(std::move(what));
  }

  // [L] weight of every token, 0 outside this minibatch. Counts skipped groups too: they are part of the mean.
  at::Tensor flat_weights(std::span<const int64_t> rows) const {
    std::vector<int64_t> lengths;
    for (const auto row : rows) lengths.push_back(completion_tokens(batch_.rollouts, row));
    const auto by_row = algorithms::token_weights(learner_.algorithm.aggregation(), lengths);
    auto weights = at::zeros({batch_.rollouts.token_ids.size(0)}, at::kFloat);
    const auto offsets = batches::values<int32_t>(batch_.rollouts.offsets);
    for (size_t i = 0; i < rows.size(); ++i) weights.slice(0, offsets[rows[i]], offsets[rows[i] + 1]).fill_(by_row[i]);
    return weights;
  }

  void microbatch(std::span<const RowGroup> groups, const at::Tensor& weights) {
    core::Stopwatch watch;
    const auto packed = batches::pack(batch_.rollouts, groups, learner_.positions_of);
    modules::SharedPromptContext context(packed.groups);
    auto result = models::completion_logprobs(learner_.model, packed, learner_.features_of(packed.image_ids),
                                              options_.temperature, context);
    // A number a token: losses are computed on the host, by the same code for every device.
    result = {.logprobs = result.logprobs.cpu(), .entropy = result.entropy.cpu()};
    const auto pick = [&](const at::Tensor& flat) {
      return flat.defined() ? flat.index_select(0, packed.flat) : at::Tensor();
    };
    const auto loss = learner_.algorithm.loss({.logprobs = result.logprobs,
                                               .entropy = result.entropy,
                                               .old_logprobs = pick(batch_.policy_logprobs),
                                               .rollout_logprobs = pick(batch_.rollouts.rollout_logprobs),
                                               .reference_logprobs = pick(batch_.reference_logprobs),
                                               .advantages = pick(batch_.advantages),
                                               .weights = pick(weights),
                                               .sequences = sequences_of(batch_.rollouts, groups)});
    stats_.forward_seconds += watch.lap();
    loss.loss.backward();
    stats_.backward_seconds += watch.lap();
    sums_.loss += loss.loss.item<double>();
    sums_.loss_sums += loss.sums;
    sums_.entropy += result.entropy.detach().sum().item<double>();
    sums_.tokens += static_cast<double>(packed.targets.size(0));
    sums_.computed_tokens += static_cast<double>(packed.num_tokens());
  }

  Learner& learner_;
  const batches::TrajectoryBatch& batch_;
  const UpdateOptions& options_;
  UpdateStats& stats_;
  Sums& sums_;
};

// Sums become means over completion tokens; losses means over minibatches, norms over the optimizer steps taken.
void finish(UpdateStats& stats, Sums& sums, collectives::ProcessGroup& ranks) {
  sums.reduce(ranks);
  const double tokens = std::max(1.0, sums.tokens), minibatches = std::max(1.0, sums.minibatches);
  stats.loss = sums.loss / minibatches;
  const auto& of_loss = sums.loss_sums;
  stats.policy_loss = of_loss.policy_loss / minibatches;
  stats.kl_reference = of_loss.kl_reference / tokens;
  stats.kl_old_policy = of_loss.kl_old_policy / tokens;
  stats.clip_fraction_low = of_loss.clipped_low / tokens;
  stats.clip_fraction_high = of_loss.clipped_high / tokens;
  stats.clip_fraction = stats.clip_fraction_low + stats.clip_fraction_high;
  stats.dual_clip_fraction = of_loss.dual_clipped / tokens;
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
  stats.entropy = sums.entropy / tokens;
  stats.grad_norm = sums.grad_norm / std::max(1.0, sums.steps);
  stats.completion_tokens = static_cast<int64_t>(sums.tokens);
  stats.computed_tokens = static_cast<int64_t>(sums.computed_tokens);
}

}  // namespace

std::vector<size_t> group_order(size_t groups, uint64_t seed, uint64_t step, uint64_t epoch) {
  std::vector<std::pair<double, size_t>> keys;
  for (size_t i = 0; i < groups; ++i)
    keys.emplace_back(core::uniform({.seed = seed ^ 0x757064617465ULL,  // "update": apart from the sampler's draws
                                     .step = step,
                                     .prompt_id = i,
                                     .sample_index = static_cast<uint32_t>(epoch),
                                     .position = 0}),
                      i);
  std::sort(keys.begin(), keys.end());
  std::vector<size_t> order;
  for (const auto& [key, i] : keys) order.push_back(i);
  return order;
}

UpdateStats update(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options,
                   const std::stop_token& stop) {
  UpdateStats stats;
  Sums sums;
  Minibatch minibatch(learner, batch, options, stats, sums);
  const auto groups = batches::group_rows(batch.rollouts);
  const auto first_step = static_cast<uint64_t>(learner.optimizer.steps());
  for (int64_t epoch = 0; epoch < options.update_epochs; ++epoch) {
    const auto rows = shuffled_rows(groups, options.seed, first_step, static_cast<uint64_t>(epoch));
    for (size_t begin = 0; begin < rows.size(); begin += static_cast<size_t>(options.completions_per_update)) {
      core::throw_if_stopped(stop);
      const auto count = std::min(static_cast<size_t>(options.completions_per_update), rows.size() - begin);
      minibatch.run(std::span(rows).subspan(begin, count));
    }
  }
  finish(stats, sums, learner.ranks);
  stats.optimizer_step = learner.optimizer.steps();
  return stats;
}

UpdateStats accumulate_gradients(Learner& learner, const batches::TrajectoryBatch& batch,
                                 const UpdateOptions& options) {
  UpdateStats stats;
  Sums sums;
  std::vector<int64_t> rows(static_cast<size_t>(batch.rollouts.rows()));
  std::iota(rows.begin(), rows.end(), 0);
  Minibatch(learner, batch, options, stats, sums).accumulate(rows, /*reduces=*/false);
  learner.optimizer.reduce_whole_gradients();
  finish(stats, sums, learner.ranks);
  return stats;
}

}  // namespace sightloop::update
