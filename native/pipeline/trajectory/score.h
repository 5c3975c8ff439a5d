#pragma once
#include <functional>
#include <stop_token>

#include "batches/batches.h"
#include "models/model.h"

namespace sightloop::trajectory {

struct Scores {
  at::Tensor logprobs;  // [L] float32 nats, aligned with the batch's flat tokens; 0 where the mask is 0
  at::Tensor entropy;   // [L] float32 nats
};

// Log-probability and entropy of every completion token, without gradients. Stops between microbatches.
Scores score(const models::Model& model, const batches::RolloutBatch& batch, const batches::PositionsOf& positions_of,
             const batches::FeaturesOf& features_of, double temperature, int64_t tokens_per_microbatch,
             const std::stop_token& stop);

}  // namespace sightloop::trajectory
