#include "pipeline/rollout/kv_cache.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/device.h"
#include "kernels/kernels.h"

namespace sightloop::rollout {
namespace {

constexpr int64_t kMostReservedBytes = int64_t{4} << 30;  // some systems count memory that is never touched
constexpr double kDeviceShare = 0.9;                      // of a device's free memory; the rest is for activations

}  // namespace

KvCache::KvCache(const models::Model& model, int64_t block_size)
    : block_size_(block_size),
      kv_heads_(model.spec().num_kv_heads),
      head_width_(model.spec().head_width),
      options_(at::device(model.device()).dtype(model.dtype())) {
  keys_.resize(static_cast<size_t>(model.spec().num_layers));
  values_.resize(static_cast<size_t>(model.spec().num_layers));
}

int64_t KvCache::block_bytes() const {
  const auto element = static_cast<int64_t>(c10::elementSize(options_.dtype().toScalarType()));
  return 2 * static_cast<int64_t>(keys_.size()) * element * kv_heads_ * head_width_ * block_size_;
}

int64_t KvCache::affordable() const {
  const auto free = core::free_device_bytes(options_.device());
  return free ? static_cast<int64_t>(kDeviceShare * static_cast<double>(*free)) / block_bytes() + num_blocks_ -
                    used_blocks_
              : std::numeric_limits<int64_t>::max();
}

void KvCache::reserve(int64_t blocks) {
  grow_to(options_.device().is_cpu() ? std::min(blocks, kMostReservedBytes / block_bytes()) : blocks);
}

void KvCache::grow_to(int64_t blocks) {
  if (blocks <= num_blocks_) return;
  const auto grow = [&](at::Tensor& cache, at::IntArrayRef block_shape) {
    auto shape = block_shape.vec();
    shape.insert(shape.begin(), blocks);
    auto larger = at::empty(shape, options_);
    if (used_blocks_ > 0) larger.narrow(0, 0, used_blocks_).copy_(cache.narrow(0, 0, used_blocks_));
    cache = larger;
  };
  for (auto& cache : keys_) grow(cache, {kv_heads_, head_width_, block_size_});
  for (auto& cache : values_) grow(cache, {kv_heads_, block_size_, head_width_});
  num_blocks_ = blocks;
  moved_ = true;
}

std::vector<int32_t> KvCache::take(int64_t positions) {
  const auto count = blocks_for(positions), fresh = count - static_cast<int64_t>(free_.size());
  if (fresh > num_blocks_ - used_blocks_) grow_to(std::max(used_blocks_ + fresh, 2 * num_blocks_));
  for (int64_t i = 0; i < fresh; ++i) free_.insert(free_.begin(), static_cast<int32_t>(used_blocks_++));
  const std::vector<int32_t> taken(free_.rbegin(), free_.rbegin() + count);
  free_.resize(free_.size() - static_cast<size_t>(count));
  return taken;
}

void KvCache::give_back(std::span<const int32_t> blocks) { free_.insert(free_.end(), blocks.rbegin(), blocks.rend()); }

int64_t KvCache::bytes() const {
  if (num_blocks_ == 0) return 0;
  int64_t bytes = 0;
  for (const auto& cache : keys_) bytes += 2 * static_cast<int64_t>(cache.nbytes()) / num_blocks_ * used_blocks_;
  return bytes;
}

void KvCache::store(int64_t layer, const at::Tensor& rows, const at::Tensor& key, const at::Tensor& value) {
  kernels::store_paged(keys_[static_cast<size_t>(layer)], values_[static_cast<size_t>(layer)], rows, key, value);
}

PrefillContext::PrefillContext(KvCache& cache, std::span<const int64_t> boundaries, at::Tensor rows)
    : cache_(cache), layout_(kernels::segment_layout(boundaries, /*causal=*/true)), rows_(std::move(rows)) {}

at::Tensor PrefillContext::attend(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value) {
  cache_.store(layer, rows_, key, value);
  return kernels::attention(query, key, value, layout_);
}

at::Tensor DecodeContext::attend(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                                 const at::Tensor& value) {
  cache_.store(layer, slots_.rows, key, value);
  return kernels::paged_attention(query, cache_.keys(layer), cache_.values(layer), slots_.block_table,
                                  slots_.prompt_lengths, slots_.completion_lengths);
}

}  // namespace sightloop::rollout
