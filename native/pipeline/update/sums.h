#pragma once
#include "collectives/process_group.h"
#include "pipeline/update/update.h"

namespace sightloop::update {

// Sums over completion tokens, for the means of UpdateStats.
struct Sums {
  algorithms::LossSums loss_sums;
  double entropy = 0, tokens = 0, loss = 0, computed_tokens = 0;
  double grad_norm = 0, steps = 0, minibatches = 0;  // the same on every rank

  // Over ranks.
  void reduce(collectives::ProcessGroup& ranks);
  // Means over completion tokens; of losses over minibatches, of norms over the optimizer steps taken.
  void average(UpdateStats& stats) const;
};

}  // namespace sightloop::update
