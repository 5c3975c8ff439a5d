#include "pipeline/update/update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/random.h"
#include "core/stop.h"
#include "core/timings.h"
#include "models/completion_logprobs.h"
#include "modules/contexts.h"
#include "pipeline/update/block_shards.h"
#include "pipeline/update/sums.h"

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

// [M] which completion each predicted token belongs to, from 0.
at::Tensor sequences_of(const batches::RolloutBatch& batch, std::span<const RowGroup> groups) {
  std::vector<int64_t> sequences;
  int64_t sequence = 0;
  for (const auto& group : groups)
    for (const auto row : group.rows) sequences.insert(sequences.end(), completion_tokens(batch, row), sequence++);
  return at::tensor(sequences, at::kLong);
}

// When the gradients of a minibatch are summed over ranks.
enum class Reduction { never, last_microbatch, every_microbatch };

class Minibatch {
 public:
  Minibatch(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options, UpdateStats& stats,
            Sums& sums)
      : learner_(learner), batch_(batch), options_(options), stats_(stats), sums_(sums) {}

  void run(std::span<const int64_t> rows) {
    const auto sums_before = sums_;
    const auto stats_before = stats_;
    sums_.minibatches += 1;
    const auto reduction =
        learner_.optimizer.reduces_microbatches() ? Reduction::every_microbatch : Reduction::last_microbatch;
    if (!accumulate(rows, reduction)) {
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

  // Adds the gradient of those of these rows that are this rank's to the parameters, or that of every microbatch to all ranks';
  // false if no rank had any to learn from.
  bool accumulate(std::span<const int64_t> rows, Reduction reduction) {
    const bool reduces = reduction == Reduction::every_microbatch;
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
    if (reduces || options_.shard_parameters) learner_.ranks.max({&most, 1});
    const auto count = static_cast<size_t>(most);
    for (size_t i = 0; i < count; ++i) {
      const bool empty = i >= passes.size();
      if (reduces || (reduction == Reduction::last_microbatch && i + 1 == count))
        learner_.optimizer.begin_reduction(empty);
      if (!empty)
        microbatch(passes[i], weights);
      else if (options_.shard_parameters)
        take_part(shortest_of(rows));
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
    auto waited = learner_.ranks.waited_seconds();
    const auto packed = batches::pack(batch_.rollouts, groups, learner_.positions_of);
    modules::PackedContext context(kernels::shared_prompt_layout(packed.groups));
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
    stats_.forward_seconds += computed_seconds(watch, waited);
    if (loss.loss.requires_grad()) loss.loss.backward();  // without an image, a frozen language model has none
    stats_.backward_seconds += computed_seconds(watch, waited);
    sums_.loss += loss.loss.item<double>();
    sums_.loss_sums += loss.sums;
    sums_.entropy += result.entropy.detach().sum().item<double>();
    sums_.tokens += static_cast<double>(packed.targets.size(0));
    sums_.computed_tokens += static_cast<double>(packed.num_tokens());
  }

  // Computes a row, its images left out, for gradients of zero: other ranks compute more microbatches than this one, and every
  // rank has pieces of the weights that they need.
  void take_part(int64_t row) {
    const auto waited = learner_.ranks.waited_seconds();
    const std::vector<int64_t> rows = {row};
    const auto packed = batches::pack(batch_.rollouts, batches::group_rows(batch_.rollouts, rows),
                                      [](std::span<const int32_t> tokens, const std::vector<std::string>&) {
                                        const auto places = at::arange(static_cast<int64_t>(tokens.size()), at::kLong);
                                        return core::PromptPositions{.positions = places.expand({3, -1}), .delta = 0};
                                      });
    modules::PackedContext context(kernels::shared_prompt_layout(packed.groups));
    const auto result =
        models::completion_logprobs(learner_.model, packed, /*image_features=*/{}, options_.temperature, context);
    (result.logprobs.sum() * 0).backward();
    stats_.reduce_seconds += learner_.ranks.waited_seconds() - waited;
  }

  int64_t shortest_of(std::span<const int64_t> rows) const {
    const auto offsets = batches::values<int32_t>(batch_.rollouts.offsets);
    return *std::ranges::min_element(rows, {}, [&](int64_t row) { return offsets[row + 1] - offsets[row]; });
  }

  // Of the time since the last, waiting for transfers is told apart.
  double computed_seconds(core::Stopwatch& watch, double& waited) {
    const auto before = std::exchange(waited, learner_.ranks.waited_seconds());
    stats_.reduce_seconds += waited - before;
    return watch.lap() - (waited - before);
  }

  Learner& learner_;
  const batches::TrajectoryBatch& batch_;
  const UpdateOptions& options_;
  UpdateStats& stats_;
  Sums& sums_;
};

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

namespace {

void run_epochs(Minibatch& minibatch, Learner& learner, const batches::TrajectoryBatch& batch,
                const UpdateOptions& options, const std::stop_token& stop) {
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
}

}  // namespace

UpdateStats update(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options,
                   const std::stop_token& stop) {
  UpdateStats stats;
  Sums sums;
  Minibatch minibatch(learner, batch, options, stats, sums);
  std::optional<BlockShards> blocks;
  if (options.shard_parameters) blocks.emplace(learner.model, learner.shards);
  std::exception_ptr ended;  // on all ranks alike
  try {
    run_epochs(minibatch, learner, batch, options, stop);
  } catch (const core::Diverged&) {
    ended = std::current_exception();
  } catch (const core::Stopped&) {
    ended = std::current_exception();
  }
  if (blocks) blocks->gather();
  if (ended) std::rethrow_exception(ended);
  sums.reduce(learner.ranks);
  sums.average(stats);
  stats.optimizer_step = learner.optimizer.steps();
  return stats;
}

UpdateStats accumulate_gradients(Learner& learner, const batches::TrajectoryBatch& batch,
                                 const UpdateOptions& options) {
  UpdateStats stats;
  Sums sums;
  std::vector<int64_t> rows(static_cast<size_t>(batch.rollouts.rows()));
  std::iota(rows.begin(), rows.end(), 0);
  auto whole = options;
  whole.shard_parameters = false;
  Minibatch(learner, batch, whole, stats, sums).accumulate(rows, Reduction::never);
  learner.optimizer.reduce_whole_gradients();
  sums.reduce(learner.ranks);
  sums.average(stats);
  return stats;
}

}  // namespace sightloop::update
