#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "models/model.h"
#include "pipeline/update/shards.h"

namespace sightloop::update {

// While it lives, each rank keeps its piece of every decoder block's weights; a block's are whole while it computes, and the next
// one's travel meanwhile (arXiv:1910.02054 stage 3, arXiv:2304.11277). Collective: every rank makes, uses and ends one alike.
class BlockShards final : public modules::BlockWeights {
 public:
  BlockShards(models::Model& model, const Shards& shards);
  // Without `gather` before it, the weights are lost.
  ~BlockShards() override { model_.set_block_weights(nullptr); }
  BlockShards(const BlockShards&) = delete;
  BlockShards& operator=(const BlockShards&) = delete;

  void hold(int64_t block, Direction direction) override;
  void let_go(int64_t block) override;
  // Whole on every rank from now on.
  void gather();

 private:
  struct Block {
    Bucket bucket;
    at::Tensor own;  // [bucket.width]
  };
  void send(size_t block);
  // What is on its way, or is now sent, goes into the block's weights.
  void receive(size_t block);

  models::Model& model_;
  Shards shards_;
  std::vector<Block> blocks_;
  // Of a block each, made once: memory that comes and goes would be broken up by what is allocated in between.
  at::Tensor whole_, arriving_;
  size_t on_its_way_;  // blocks_.size(): none
  collectives::ProcessGroup::Wait wait_;
};

}  // namespace sightloop::update
