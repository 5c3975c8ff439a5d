#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "core/attention_context.h"
#include "models/model.h"

namespace sightloop::rollout {

// Keys and values of every layer in blocks of `block_size` positions (arXiv:2309.06180). Grows as blocks are taken.
class KvCache {
 public:
  KvCache(const models::Model& model, int64_t block_size);

  std::vector<int32_t> take(int64_t positions);  // enough blocks for so many positions
  void give_back(std::span<const int32_t> blocks);

  // Row of the flattened cache that holds `position` of a sequence with these blocks.
  int64_t row(std::span<const int32_t> blocks, int64_t position) const {
    return blocks[static_cast<size_t>(position / block_size_)] * block_size_ + position % block_size_;
  }
  int64_t block_size() const { return block_size_; }
  int64_t bytes() const;

  const at::Tensor& keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  const at::Tensor& values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
  // Stores key, value [T, K, H] at rows [T] int64 of a layer.
  void store(int64_t layer, const at::Tensor& rows, const at::Tensor& key, const at::Tensor& value);

 private:
  void grow(int64_t blocks);
  int64_t block_size_, kv_heads_, head_width_;
  at::ScalarType dtype_;
  int64_t num_blocks_ = 0;
  std::vector<int32_t> free_;
  std::vector<at::Tensor> keys_, values_;  // per layer [blocks, block_size, K, H]
};

// Prompts packed one after the other; their keys and values are kept.
class PrefillContext : public core::AttentionContext {
 public:
  //   boundaries of the prompts, ascending from 0   rows [T] int64: where each token's keys and values go
  PrefillContext(KvCache& cache, std::vector<int64_t> boundaries, at::Tensor rows);
  at::Tensor attend(int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) override;

 private:
  KvCache& cache_;
  std::vector<int64_t> boundaries_;
  at::Tensor rows_;
};

// One new token in each of S slots, idle ones included.
class DecodeContext : public core::AttentionContext {
 public:
  struct Slots {
    at::Tensor active;              // [A] int64, slots that hold a sequence
    at::Tensor rows;                // [A] int64, where their new keys and values go
    at::Tensor block_table;         // [S, max_blocks] int32
    at::Tensor prompt_lengths;      // [S] int32
    at::Tensor completion_lengths;  // [S] int32, the new token included; 0 and 0: idle
  };
  DecodeContext(KvCache& cache, Slots slots) : cache_(cache), slots_(std::move(slots)) {}
  at::Tensor attend(int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) override;

 private:
  KvCache& cache_;
  Slots slots_;
};

}  // namespace sightloop::rollout
