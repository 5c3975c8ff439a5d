#pragma once
#include "kernels/device.cuh"

// Attention of one query a slot over a paged cache. It must move each slot's keys and values once, 2 * positions * K * H *
// sizeof(T) bytes (the query heads of one key/value head read them together), and is bound by that: 8 query heads need 4
// multiply-adds a byte of bfloat16.
//
// A slot's blocks are taken in splits of kSplitPositions, so that a few long sequences still fill the device; the partial
// results are then combined by their log-sum-exp. Where a split begins depends on the sequence alone: a slot's result is the
// same bits in any company. Sources: arXiv:2205.14135, arXiv:2309.06180; splits: flash-decoding.
// S slots, N query heads, K key/value heads, H head width, B positions in a block, R query heads a thread block takes at once.
namespace sightloop::kernels::device {

constexpr int kSplitPositions = 256, kAttentionWarps = 4;

template <typename T>
struct PagedAttention {
  const T *query, *keys, *values;  // [S, N, H], [blocks, K, H, B], [blocks, K, B, H]
  const int32_t *table, *prompt_lengths, *completion_lengths;
  T* output;         // [S, N, H]
  float* partial;    // [S, N, splits, H], normalised
  float* log_sums;   // [S, N, splits], to base 2
  int table_width;   // blocks a slot can have
  int split_blocks;  // blocks of a split
  int splits;        // enough for table_width
  int heads, kv_heads, width;
  float scale;  // of the scores, times log2 e: weights are powers of 2
};

// A slot's prompt fills its first blocks, its completion starts a new one.
template <int B>
struct Held {
  int prompt, completion;
  __device__ int prompt_blocks() const { return divide_up(prompt, B); }
  __device__ int blocks() const { return prompt_blocks() + divide_up(completion, B); }
  __device__ int positions(int block) const {  // held in the slot's i-th block
    const int left = block < prompt_blocks() ? prompt - block * B : completion - (block - prompt_blocks()) * B;
    return smaller(left, B);
  }
};

// Shared memory of a block of threads. While it walks the cache: queries [H][R], then for each warp weights [B][R] and
// factors [R]. Afterwards: outputs [warps * value rows a warp reads at once][R][H], then each warp's [R] maxima and sums.
template <typename T, int R, int B>
constexpr int paged_attention_shared(int width) {
  const int lanes_a_row = width / kVector<T>;
  const int walking = width * R + kAttentionWarps * (B + 1) * R;
  const int joining = kAttentionWarps * (32 / lanes_a_row) * R * width + 2 * kAttentionWarps * R;
  return static_cast<int>(sizeof(float)) * (walking > joining ? walking : joining);
}

// Sums values[R * V] over the lanes that differ in the bits 16 .. `lowest` of their number. Each step halves what a lane holds
// as long as it can; returns the index of the first sum that this lane is left with, of Count / groups or 1.
template <int Count, int Lowest>
__device__ __forceinline__ int scatter_sums(float (&values)[Count], int lane) {
  int first = 0, held = Count;
  SIGHTLOOP_UNROLL
  for (int offset = 16; offset >= Lowest; offset /= 2) {
    if (held == 1) {
      values[0] += __shfl_xor_sync(kAllLanes, values[0], offset);
      continue;
    }
    held /= 2;
    const bool upper = (lane & offset) != 0;
    SIGHTLOOP_UNROLL
    for (int i = 0; i < Count / 2; ++i) {
      if (i >= held) break;
      const float given = upper ? values[i] : values[i + held], kept = upper ? values[i + held] : values[i];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, offset);
    }
    if (upper) first += held;
  }
  return first;
}

// Scores of one block's positions for R heads, to scores[B][R]. The lanes of a warp share the block: each takes V positions of
// every (32 V / B)-th row of keys.
template <int R, int B, typename T>
__device__ __forceinline__ void score_block(const T* keys, const float* queries, int width, int lane, float* scores) {
  constexpr int V = smaller(kVector<T>, 32 / R), kChunks = B / V, kGroups = 32 / kChunks;  // at most 32 sums a lane
  constexpr int kBatch = 64 / V / static_cast<int>(sizeof(T));                             // 64 bytes on their way
  constexpr int kHeld = R * V > kGroups ? R * V / kGroups : 1;
  const int chunk = lane % kChunks, group = lane / kChunks;
  float sums[R * V] = {};
  for (int h = group; h < width; h += kGroups * kBatch) {
    Pack<T, V> rows[kBatch];
    SIGHTLOOP_UNROLL
    for (int i = 0; i < kBatch; ++i)
      rows[i] = h + i * kGroups < width ? load<V>(keys + (h + i * kGroups) * B + chunk * V) : Pack<T, V>{};
    SIGHTLOOP_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      if (h + i * kGroups >= width) break;
      const auto query = load<R>(queries + (h + i * kGroups) * R);
      SIGHTLOOP_UNROLL
      for (int j = 0; j < R * V; ++j) sums[j] += query.values[j / V] * rows[i][j % V];
    }
  }
  const int first = scatter_sums<R * V, kChunks>(sums, lane);
  SIGHTLOOP_UNROLL
  for (int i = 0; i < kHeld; ++i) scores[(chunk * V + (first + i) % V) * R + (first + i) / V] = sums[i];
}

// Of the head `lane % R`: the highest score so far, and this lane's share of the sum of weights 2^(score - highest).
struct RunningWeights {
  float highest = kMinusInfinity, sum = 0;
};

// In place, scores[B][R] to weights; positions from `valid` on weigh nothing. factors[R]: what the sums before shrink by.
// Returns whether any of them is not 1.
template <int R, int B>
__device__ __forceinline__ bool weigh_block(float* scores, float* factors, int valid, int lane, RunningWeights& own) {
  constexpr int kShare = R * B / 32 > 1 ? R * B / 32 : 1;
  float x[kShare], highest = own.highest;
  SIGHTLOOP_UNROLL
  for (int i = 0; i < kShare; ++i) {
    const int at = lane + 32 * i;
    x[i] = at < valid * R ? scores[at] : kMinusInfinity;
    highest = fmaxf(highest, x[i]);
  }
  SIGHTLOOP_UNROLL
  for (int offset = 16; offset >= R; offset /= 2) highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, offset));
  const float factor = exp2f(own.highest - highest);
  own.sum *= factor;
  SIGHTLOOP_UNROLL
  for (int i = 0; i < kShare; ++i) {
    const float weight = exp2f(x[i] - highest);
    own.sum += weight;
    if (lane + 32 * i < R * B) scores[lane + 32 * i] = weight;
  }
  if (lane < R) factors[lane] = factor;
  const bool grew = highest > own.highest;
  own.highest = highest;
  return __any_sync(kAllLanes, grew) != 0;
}

}  // namespace sightloop::kernels::device
