#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "core/attention_context.h"
#include "kernels/kernels.h"
#include "models/model.h"

namespace sightloop::rollout {

// Keys and values of every layer in blocks of `block_size` positions (arXiv:2309.06180).
class KvCache {
 public:
  KvCache(const models::Model& model, int64_t block_size);

  // Room for so many blocks in all. On the CPU up to 4 GiB: memory that no position was stored in stays untouched, so a
  // generous bound costs nothing, and without room the cache grows by copying. On a device the blocks are allocated.
  void reserve(int64_t blocks);
  // Blocks that a device has room for beside those held, or that a host never lacks.
  int64_t affordable() const;
  int64_t blocks_for(int64_t positions) const { return (positions + block_size_ - 1) / block_size_; }

  std::vector<int32_t> take(int64_t positions);  // enough blocks for so many positions
  void give_back(std::span<const int32_t> blocks);

  // Row of the flattened cache that holds `position` of a sequence with these blocks.
  int64_t row(std::span<const int32_t> blocks, int64_t position) const {
    return blocks[static_cast<size_t>(position / block_size_)] * block_size_ + position % block_size_;
  }
  int64_t block_size() const { return block_size_; }
  int64_t bytes() const;  // of the blocks that were ever taken
  // Whether the cache has moved in memory since this was last asked.
  bool moved() { return std::exchange(moved_, false); }

  const at::Tensor& keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  const at::Tensor& values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
  // Stores the first R of key, value [T, K, H] at rows [R] int64 of a layer.
  void store(int64_t layer, const at::Tensor& rows, const at::Tensor& key, const at::Tensor& value);

 private:
  void grow_to(int64_t blocks);
  int64_t block_bytes() const;
  int64_t block_size_, kv_heads_, head_width_;
  at::TensorOptions options_;
  int64_t num_blocks_ = 0, used_blocks_ = 0;  // used: never free so far
  std::vector<int32_t> free_;                 // of the used ones
  bool moved_ = false;
  std::vector<at::Tensor> keys_, values_;  // per layer [blocks, K, H, B] and [blocks, K, B, H]
};

// Prompts packed one after the other; their keys and values are kept.
class PrefillContext : public core::AttentionContext {
 public:
  //   boundaries of the prompts, ascending from 0   rows [T] int64: where each token's keys and values go
  PrefillContext(KvCache& cache, std::span<const int64_t> boundaries, at::Tensor rows);
  bool samples() const override { return true; }
  at::Tensor attend(int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) override;

 private:
  KvCache& cache_;
  kernels::LayoutPtr layout_;
  at::Tensor rows_;
};

// One new token in each of S slots, idle ones included.
class DecodeContext : public core::AttentionContext {
 public:
  struct Slots {
    at::Tensor rows;                // [A] int64, where the new keys and values of the A first slots go: the active ones
    at::Tensor block_table;         // [S, max_blocks] int32
    at::Tensor prompt_lengths;      // [S] int32
    at::Tensor completion_lengths;  // [S] int32, the new token included; 0 and 0: idle
  };
  DecodeContext(KvCache& cache, Slots slots) : cache_(cache), slots_(std::move(slots)) {}
  bool samples() const override { return true; }
  at::Tensor attend(int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) override;

 private:
  KvCache& cache_;
  Slots slots_;
};

}  // namespace sightloop::rollout
