#include "pipeline/rollout/kv_cache.h"

#include <ATen/ATen.h>

#include "kernels/kernels.h"

namespace sightloop::rollout {

KvCache::KvCache(const models::Model& model, int64_t block_size)
    : block_size_(block_size),
      kv_heads_(model.spec().num_kv_heads),
      head_width_(model.spec().head_width),
      dtype_(model.dtype()) {
  keys_.resize(static_cast<size_t>(model.spec().num_layers));
  values_.resize(static_cast<size_t>(model.spec().num_layers));
  grow(64);
}

void KvCache::grow(int64_t blocks) {
  for (auto* layers : {&keys_, &values_})
    for (auto& cache : *layers) {
      const auto more = at::zeros({blocks, block_size_, kv_heads_, head_width_}, dtype_);
      cache = cache.defined() ? at::cat({cache, more}) : more;
    }
  for (int64_t block = num_blocks_ + blocks - 1; block >= num_blocks_; --block)
    free_.push_back(static_cast<int32_t>(block));
  num_blocks_ += blocks;
}

std::vector<int32_t> KvCache::take(int64_t positions) {
  const auto count = (positions + block_size_ - 1) / block_size_;
  if (static_cast<int64_t>(free_.size()) < count) grow(std::max(count, num_blocks_));
  const std::vector<int32_t> taken(free_.rbegin(), free_.rbegin() + count);
  free_.resize(free_.size() - static_cast<size_t>(count));
  return taken;
}

void KvCache::give_back(std::span<const int32_t> blocks) { free_.insert(free_.end(), blocks.rbegin(), blocks.rend()); }

int64_t KvCache::bytes() const {
  int64_t bytes = 0;
  for (const auto& cache : keys_) bytes += 2 * static_cast<int64_t>(cache.nbytes());
  return bytes;
}

void KvCache::store(int64_t layer, const at::Tensor& rows, const at::Tensor& key, const at::Tensor& value) {
  keys_[static_cast<size_t>(layer)].flatten(0, 1).index_copy_(0, rows, key);
  values_[static_cast<size_t>(layer)].flatten(0, 1).index_copy_(0, rows, value);
}

PrefillContext::PrefillContext(KvCache& cache, std::vector<int64_t> boundaries, at::Tensor rows)
    : cache_(cache), boundaries_(std::move(boundaries)), rows_(std::move(rows)) {}

at::Tensor PrefillContext::attend(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value) {
  cache_.store(layer, rows_, key, value);
  return kernels::segment_attention(query, key, value, boundaries_, /*causal=*/true);
}

at::Tensor DecodeContext::attend(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                                 const at::Tensor& value) {
  cache_.store(layer, slots_.rows, key.index_select(0, slots_.active), value.index_select(0, slots_.active));
  return kernels::paged_attention(query, cache_.keys(layer), cache_.values(layer), slots_.block_table,
                                  slots_.prompt_lengths, slots_.completion_lengths);
}

}  // namespace sightloop::rollout
