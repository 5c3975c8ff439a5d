#pragma once
#include "kernels/paged_attention.cuh"

namespace sightloop::kernels::device {

// Adds the block's values, weighted, to what each lane holds: V elements of R heads. 32 / lanes_a_row positions are read at
// once. Positions that are not held are never read: they may be NaN.
template <int R, typename T>
__device__ __forceinline__ void add_values(const T* values, const float* weights, int valid, int width, int lane,
                                           float (&sums)[R * kVector<T>]) {
  constexpr int V = kVector<T>, kBatch = 4;
  const int lanes_a_row = width / V, rows_at_once = 32 / lanes_a_row, row = lane / lanes_a_row;
  if (row >= rows_at_once) return;
  const T* from = values + lane % lanes_a_row * V;
  for (int position = row; position < valid; position += rows_at_once * kBatch) {
    Pack<T, V> rows[kBatch];
    SIGHTLOOP_UNROLL
    for (int i = 0; i < kBatch; ++i)
      rows[i] =
          position + i * rows_at_once < valid ? load<V>(from + (position + i * rows_at_once) * width) : Pack<T, V>{};
    SIGHTLOOP_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      if (position + i * rows_at_once >= valid) break;
      const auto weight = load<R>(weights + (position + i * rows_at_once) * R);
      SIGHTLOOP_UNROLL
      for (int j = 0; j < R * V; ++j) sums[j] += weight.values[j / V] * rows[i][j % V];
    }
  }
}

// Grid: slots, key/value heads times the sets of R query heads of each, splits. 4 warps take the split's blocks in turn.
template <typename T, int R, int B>
__global__ void __launch_bounds__(32 * kAttentionWarps, R* kVector<T> == 64 ? 3 : 4)
    paged_attention_splits(PagedAttention<T> a) {
  constexpr int V = kVector<T>;
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int repeats = a.heads / a.kv_heads, sets = divide_up(repeats, R);
  const int slot = static_cast<int>(blockIdx.x), split = static_cast<int>(blockIdx.z);
  const int kv_head = static_cast<int>(blockIdx.y) / sets, first_repeat = static_cast<int>(blockIdx.y) % sets * R;
  const int heads = smaller(R, repeats - first_repeat);
  const auto place = static_cast<int64_t>(slot) * a.heads + kv_head * repeats + first_repeat;  // of the first head
  const Held<B> held{a.prompt_lengths[slot], a.completion_lengths[slot]};
  const int blocks = held.blocks(), begin = split * a.split_blocks, end = smaller(begin + a.split_blocks, blocks);
  if (blocks == 0 && split == 0)
    for (int i = thread; i < heads * a.width; i += static_cast<int>(blockDim.x))
      a.output[place * a.width + i] = static_cast<T>(0.0F);
  if (begin >= end) return;

  float* queries = shared;
  float *weights = shared + a.width * R + warp * (B + 1) * R, *factors = weights + B * R;
  for (int i = thread; i < a.width * R; i += static_cast<int>(blockDim.x)) {
    const int h = i / R, r = i % R;
    queries[i] = r < heads ? static_cast<float>(a.query[(place + r) * a.width + h]) * a.scale : 0;
  }
  __syncthreads();

  RunningWeights own;
  float sums[R * V] = {};
  const auto* table = a.table + static_cast<int64_t>(slot) * a.table_width;
  int next = begin + warp < end ? table[begin + warp] : 0;
  for (int block = begin + warp; block < end; block += kAttentionWarps) {
    const auto at = (static_cast<int64_t>(next) * a.kv_heads + kv_head) * a.width * B;
    if (block + kAttentionWarps < end) next = table[block + kAttentionWarps];
    const int valid = held.positions(block);
    score_block<R, B>(a.keys + at, queries, a.width, lane, weights);
    __syncwarp();
    const bool shrinks = weigh_block<R, B>(weights, factors, valid, lane, own);
    __syncwarp();
    if (shrinks) {
      const auto factor = load<R>(factors);
      SIGHTLOOP_UNROLL
      for (int i = 0; i < R * V; ++i) sums[i] *= factor.values[i / V];
    }
    add_values<R>(a.values + at, weights, valid, a.width, lane, sums);
    __syncwarp();
  }
  SIGHTLOOP_UNROLL
  for (int offset = 16; offset >= R; offset /= 2) own.sum += __shfl_xor_sync(kAllLanes, own.sum, offset);
  __syncthreads();  // the walk's shared memory is free

  const int lanes_a_row = a.width / V, parts_a_warp = 32 / lanes_a_row, parts = kAttentionWarps * parts_a_warp;
  float *highest = shared + parts * R * a.width, *totals = highest + kAttentionWarps * R;  // [warps][R] each
  if (lane < R) highest[warp * R + lane] = own.highest, totals[warp * R + lane] = own.sum;
  __syncthreads();
  const auto highest_of = [&](int r) {
    float top = highest[r];
    for (int other = 1; other < kAttentionWarps; ++other) top = fmaxf(top, highest[other * R + r]);
    return top;
  };
  if (lane / lanes_a_row < parts_a_warp) {
    float* to = shared + (warp * parts_a_warp + lane / lanes_a_row) * R * a.width + lane % lanes_a_row * V;
    SIGHTLOOP_UNROLL
    for (int r = 0; r < R; ++r) {
      const float factor = exp2f(highest[warp * R + r] - highest_of(r));  // 0 for a warp without a block
      SIGHTLOOP_UNROLL
      for (int j = 0; j < V; j += 4)
        store<4>(to + r * a.width + j, Pack<float, 4>{sums[r * V + j] * factor, sums[r * V + j + 1] * factor,
                                                      sums[r * V + j + 2] * factor, sums[r * V + j + 3] * factor});
    }
  }
  __syncthreads();
  const bool alone = blocks <= a.split_blocks;
  for (int i = thread; i < heads * a.width; i += static_cast<int>(blockDim.x)) {
    const int r = i / a.width;
    const float top = highest_of(r);
    float total = 0, sum = 0;
    for (int other = 0; other < kAttentionWarps; ++other)
      total += totals[other * R + r] * exp2f(highest[other * R + r] - top);
    for (int part = 0; part < parts; ++part) sum += shared[part * R * a.width + i];
    const auto index = (place + r) * a.splits + split;
    if (alone)
      a.output[place * a.width + i] = static_cast<T>(sum / total);
    else
      a.partial[index * a.width + i % a.width] = sum / total;
    if (!alone && i % a.width == 0) a.log_sums[index] = top + log2f(total);
  }
}

// Joins the splits of a slot's head.   grid: slots, heads
template <typename T, int B>
__global__ void __launch_bounds__(128) paged_attention_join(PagedAttention<T> a) {
  const auto slot = static_cast<int64_t>(blockIdx.x), place = slot * a.heads + blockIdx.y;
  const Held<B> held{a.prompt_lengths[slot], a.completion_lengths[slot]};
  const int splits = divide_up(held.blocks(), a.split_blocks);
  if (splits <= 1) return;
  const float* log_sums = a.log_sums + place * a.splits;
  float highest = log_sums[0], total = 0;
  for (int i = 1; i < splits; ++i) highest = fmaxf(highest, log_sums[i]);
  for (int i = 0; i < splits; ++i) total += exp2f(log_sums[i] - highest);
  for (int h = static_cast<int>(threadIdx.x); h < a.width; h += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int i = 0; i < splits; ++i)
      sum += exp2f(log_sums[i] - highest) * a.partial[(place * a.splits + i) * a.width + h];
    a.output[place * a.width + h] = static_cast<T>(sum / total);
  }
}

}  // namespace sightloop::kernels::device
