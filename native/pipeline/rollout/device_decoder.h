#pragma once
#include <deque>

#include "pipeline/rollout/decode_graph.h"
#include "pipeline/rollout/decoder.h"

namespace sightloop::rollout {

// Computes on a device. A step feeds the tokens that the step before has drawn there, so that it is launched without waiting
// for them; the host reads a step's tokens while the next one runs.
class DeviceDecoder final : public Decoder {
 public:
  DeviceDecoder(const models::Model& model, KvCache& cache) : model_(model), cache_(cache), graphs_(model.device()) {}
  void launch(const DecodeInputs& inputs) override;
  std::vector<kernels::Sample> read(core::RolloutTimings& timings) override;
  bool runs_ahead() const override { return true; }

 private:
  const models::Model& model_;
  KvCache& cache_;
  DecodeGraphs graphs_;
  at::Tensor last_tokens_;  // [S] int64 of the step launched last
  std::deque<ReadBack> under_way_;
};

}  // namespace sightloop::rollout
