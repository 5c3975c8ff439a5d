#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/timings.h"
#include "pipeline/rollout/draws.h"
#include "pipeline/rollout/kv_cache.h"

namespace sightloop::rollout {

// One token for each of A completions, in the first of S slots; the others are idle: 0, and -1 in `rows`.
struct DecodeInputs {
  at::Tensor token_ids;    // [S] int64, to feed
  at::Tensor sources;      // [S] int64: the slot of the step before whose token is fed in place of token_ids, or -1
  at::Tensor positions;    // [S] int64, rotary
  at::Tensor rows;         // [S] int64, where the new keys and values go
  at::Tensor block_table;  // [S, W] int32
  at::Tensor prompt_lengths, completion_lengths;  // [S] int32, the new token included
  std::vector<Draw> draws;                        // A

  DecodeInputs(int64_t slots, int64_t blocks);
  int64_t slots() const { return token_ids.size(0); }
};

// Computes decode steps in the order in which they were launched.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void launch(const DecodeInputs& inputs) = 0;
  // What the oldest step launched and not yet read has drawn, by slot.
  virtual std::vector<kernels::Sample> read(core::RolloutTimings& timings) = 0;
  // Whether a step can be launched before the one before it has been read.
  virtual bool runs_ahead() const = 0;
};
std::unique_ptr<Decoder> create_decoder(const models::Model& model, KvCache& cache);

}  // namespace sightloop::rollout
