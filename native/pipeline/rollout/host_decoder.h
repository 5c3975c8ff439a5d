#pragma once
#include "pipeline/rollout/decoder.h"

namespace sightloop::rollout {

// Computes on the CPU, one step at a time.
class HostDecoder final : public Decoder {
 public:
  HostDecoder(const models::Model& model, KvCache& cache) : model_(model), cache_(cache) {}
  void launch(const DecodeInputs& inputs) override;
  std::vector<kernels::Sample> read(core::RolloutTimings& timings) override;
  bool runs_ahead() const override { return false; }

 private:
  const models::Model& model_;
  KvCache& cache_;
  at::Tensor logits_;  // [S, V] of the step launched, until it is read
  std::vector<Draw> draws_;
  double decode_seconds_ = 0;
};

}  // namespace sightloop::rollout
