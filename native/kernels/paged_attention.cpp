#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// The cache positions one slot holds, in order.
struct Held {
  const int32_t* blocks;
  int64_t prompt_length, completion_length, block_size;

  int64_t length() const { return prompt_length + completion_length; }
  // Row of the flattened [blocks * block_size] cache.
  int64_t row(int64_t position) const {
    if (position < prompt_length) return blocks[position / block_size] * block_size + position % block_size;
    const int64_t own = position - prompt_length, first = (prompt_length + block_size - 1) / block_size;
    return blocks[first + own / block_size] * block_size + own % block_size;
  }
};

// One query head; softmax(q k) v over the held positions. `scores` has room for one float per position.
SIGHTLOOP_CPU_CLONES void attend_head(const float* query, const float* keys, const float* values, int64_t row_stride,
                                      const int64_t* rows, int64_t length, int64_t width, float scale, float* scores,
                                      float* output) {
  float highest = -std::numeric_limits<float>::infinity();
  for (int64_t position = 0; position < length; ++position) {
    const float* key = keys + rows[position] * row_stride;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += query[i] * key[i];
    scores[position] = dot * scale;
    highest = std::max(highest, scores[position]);
  }
  float total = 0;
  for (int64_t i = 0; i < width; ++i) output[i] = 0;
  for (int64_t position = 0; position < length; ++position) {
    const float weight = std::exp(scores[position] - highest);
    total += weight;
    const float* value = values + rows[position] * row_stride;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) output[i] += weight * value[i];
  }
  const float inverse = 1.0F / total;
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) output[i] *= inverse;
}

}  // namespace

at::Tensor paged_attention_reference(const at::Tensor& query, const at::Tensor& key_cache,
                                     const at::Tensor& value_cache, const at::Tensor& block_table,
                                     const at::Tensor& prompt_lengths, const at::Tensor& completion_lengths) {
  auto output = at::zeros_like(query);
  const auto block_size = key_cache.size(1);
  const auto wide = at::promote_types(query.scalar_type(), at::kFloat);
  for (int64_t slot = 0; slot < query.size(0); ++slot) {
    const Held held{.blocks = block_table.data_ptr<int32_t>() + slot * block_table.size(1),
                    .prompt_length = prompt_lengths[slot].item<int64_t>(),
                    .completion_length = completion_lengths[slot].item<int64_t>(),
                    .block_size = block_size};
    if (held.length() == 0) continue;
    std::vector<int64_t> rows;
    for (int64_t position = 0; position < held.length(); ++position) rows.push_back(held.row(position));
    const auto index = at::tensor(rows, at::kLong);
    const auto repeats = query.size(1) / key_cache.size(2);
    const auto dense = [&](const at::Tensor& cache) {  // [length, N, H]
      return cache.flatten(0, 1).index_select(0, index).to(wide).repeat_interleave(repeats, 1);
    };
    const auto scores = at::einsum("nh,tnh->nt", {query[slot].to(wide), dense(key_cache)}) / std::sqrt(query.size(2));
    output[slot].copy_(at::einsum("nt,tnh->nh", {scores.softmax(-1), dense(value_cache)}));
  }
  return output;
}

at::Tensor paged_attention(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                           const at::Tensor& block_table, const at::Tensor& prompt_lengths,
                           const at::Tensor& completion_lengths) {
  const auto slots = query.size(0), heads = query.size(1), width = query.size(2);
  core::check_shape(key_cache, {-1, -1, -1, width}, "paged_attention.key_cache");
  core::check_shape(value_cache, key_cache.sizes(), "paged_attention.value_cache");
  core::check_shape(block_table, {slots, -1}, "paged_attention.block_table");
  core::check_shape(prompt_lengths, {slots}, "paged_attention.prompt_lengths");
  core::check_shape(completion_lengths, {slots}, "paged_attention.completion_lengths");
  if (query.scalar_type() != at::kFloat || !query.is_cpu())
    return paged_attention_reference(query, key_cache, value_cache, block_table, prompt_lengths, completion_lengths);

  const auto input = query.contiguous();
  const auto kv_heads = key_cache.size(2), repeats = heads / kv_heads;
  const auto row_stride = kv_heads * width;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
  auto output = at::zeros_like(input);
  at::parallel_for(0, slots, 1, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> rows;
    std::vector<float> scores;
    for (int64_t slot = begin; slot < end; ++slot) {
      const Held held{.blocks = block_table.data_ptr<int32_t>() + slot * block_table.size(1),
                      .prompt_length = prompt_lengths.data_ptr<int32_t>()[slot],
                      .completion_length = completion_lengths.data_ptr<int32_t>()[slot],
                      .block_size = key_cache.size(1)};
      if (held.length() == 0) continue;
      rows.resize(held.length());
      scores.resize(held.length());
      for (int64_t position = 0; position < held.length(); ++position) rows[position] = held.row(position);
      for (int64_t head = 0; head < heads; ++head) {
        const auto shift = head / repeats * width;
        attend_head(input.data_ptr<float>() + (slot * heads + head) * width, key_cache.data_ptr<float>() + shift,
                    value_cache.data_ptr<float>() + shift, row_stride, rows.data(), held.length(), width, scale,
                    scores.data(), output.data_ptr<float>() + (slot * heads + head) * width);
      }
    }
  });
  return output;
}

}  // namespace sightloop::kernels
