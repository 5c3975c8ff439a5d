#pragma once
#include <functional>
#include <stop_token>

#include "algorithms/algorithm.h"
#include "batches/batches.h"
#include "collectives/process_group.h"
#include "core/diverged.h"
#include "models/model.h"
#include "pipeline/update/optimizer.h"

namespace sightloop::update {

struct UpdateOptions {
  int64_t completions_per_update;
  int64_t tokens_per_microbatch;
  int64_t update_epochs;
  double temperature;
  uint64_t seed;
  int64_t max_consecutive_skips;  // minibatches in a row that may be left out because loss or gradient is not finite
  // [R] which rows this rank computes, rows of one prompt alike; empty: all. Every rank has the whole batch.
  std::vector<uint8_t> own_rows = {};
  // Over several ranks and with activation checkpointing, hold the decoder's weights once in all while the update runs.
  bool shard_parameters = false;
};

// Fields as UpdateStats in the TypeScript layer.
struct UpdateStats {
  double loss = 0, policy_loss = 0, kl_reference = 0, kl_old_policy = 0, entropy = 0, ratio_max = 0;
  double clip_fraction = 0, clip_fraction_low = 0, clip_fraction_high = 0, dual_clip_fraction = 0;
  bool importance_corrected = false;  // the next four have a meaning
  double importance_weight_mean = 0, importance_weight_max = 0, importance_capped = 0, effective_sample_size = 0;
  double grad_norm = 0, learning_rate = 0;
  int64_t optimizer_step = 0, clamped_log_ratios = 0, skipped_completions = 0;
  int64_t skipped_updates = 0;
  int64_t completion_tokens = 0, computed_tokens = 0;
  double forward_seconds = 0, backward_seconds = 0, optimizer_seconds = 0;
  double reduce_seconds = 0;                  // waiting for the gradients of the other ranks, transfer included
  std::vector<core::Divergence> divergences;  // of the skipped updates
};

// What an update works on. The optimizer's registry is the model's.
struct Learner {
  models::Model& model;
  Optimizer& optimizer;
  const Shards& shards;  // the optimizer's
  const algorithms::Algorithm& algorithm;
  collectives::ProcessGroup& ranks;
  batches::PositionsOf positions_of;
  batches::FeaturesOf features_of;
};

// The order in which an update that begins at optimizer step `step` takes the groups of a batch, in one of its epochs.
std::vector<size_t> group_order(size_t groups, uint64_t seed, uint64_t step, uint64_t epoch);

// One pass over the trajectories per epoch, in an order keyed by (seed, optimizer step, epoch); one optimizer step for
// every `completions_per_update` completions. How a minibatch is cut into microbatches does not change its gradient.
// A stop request is honoured between optimizer steps only. A minibatch whose loss or gradient is not finite is left out:
// weights, masters and moments stay as they are, bit for bit, and the schedule goes on. Throws core::Diverged instead of
// leaving out more than max_consecutive_skips in a row, counted over calls. Over several ranks each computes its own rows of
// a minibatch and the gradients are summed: all ranks take the same step. Statistics are those of the whole batch, times and
// nothing else this rank's. Where weights are held in pieces, anything thrown but Diverged and Stopped loses them.
UpdateStats update(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options,
                   const std::stop_token& stop);

// Leaves the gradient of one minibatch of all rows on the parameters and steps nothing; for tests and debugging.
UpdateStats accumulate_gradients(Learner& learner, const batches::TrajectoryBatch& batch, const UpdateOptions& options);

}  // namespace sightloop::update
