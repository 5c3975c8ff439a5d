#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"

// S slots, N query heads, K key/value heads, H head width, B positions in a block.
namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kSlotsPerTask = 8;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t blocks_of(int64_t positions, int64_t block_size) { return (positions + block_size - 1) / block_size; }

// scores[q][i] = queries[q] . keys[:, i] * scale for the B positions of one block.   keys [H, B]
template <int64_t Q, typename T>
SIGHTLOOP_INLINE void score_block(const T* keys, int64_t block_size, const float* const* queries, int64_t width,
                                  float scale, float* const* scores) {
  int64_t begin = 0;
  for (; begin + kLanes <= block_size; begin += kLanes) {
    Lanes totals[Q] = {};
    for (int64_t h = 0; h < width; ++h) {
      const Lanes key = core::load(keys + h * block_size + begin);
      for (int64_t q = 0; q < Q; ++q) totals[q] += queries[q][h] * key;
    }
    for (int64_t q = 0; q < Q; ++q) core::store(scores[q] + begin, totals[q] * scale);
  }
  for (; begin < block_size; ++begin)
    for (int64_t q = 0; q < Q; ++q) {
      float total = 0;
      for (int64_t h = 0; h < width; ++h) total += queries[q][h] * static_cast<float>(keys[h * block_size + begin]);
      scores[q][begin] = total * scale;
    }
}

// outputs[q][h] += sum_i weights[q][i] * values[i][h] over `count` positions.   values [B, H]
template <int64_t Q, int64_t L, typename T>
SIGHTLOOP_INLINE void weigh_lanes(const T* values, int64_t count, int64_t width, const float* const* weights,
                                  float* const* outputs, int64_t h) {
  Lanes totals[Q][L];
  for (int64_t q = 0; q < Q; ++q)
    for (int64_t l = 0; l < L; ++l) totals[q][l] = core::load(outputs[q] + h + l * kLanes);
  for (int64_t i = 0; i < count; ++i) {
    Lanes value[L];
    for (int64_t l = 0; l < L; ++l) value[l] = core::load(values + i * width + h + l * kLanes);
    for (int64_t q = 0; q < Q; ++q)
      for (int64_t l = 0; l < L; ++l) totals[q][l] += weights[q][i] * value[l];
  }
  for (int64_t q = 0; q < Q; ++q)
    for (int64_t l = 0; l < L; ++l) core::store(outputs[q] + h + l * kLanes, totals[q][l]);
}

template <int64_t Q, typename T>
SIGHTLOOP_INLINE void weigh_block(const T* values, int64_t count, int64_t width, const float* const* weights,
                                  float* const* outputs) {
  int64_t h = 0;
  for (; h + 4 * kLanes <= width; h += 4 * kLanes) weigh_lanes<Q, 4>(values, count, width, weights, outputs, h);
  for (; h + kLanes <= width; h += kLanes) weigh_lanes<Q, 1>(values, count, width, weights, outputs, h);
  for (; h < width; ++h)
    for (int64_t q = 0; q < Q; ++q)
      for (int64_t i = 0; i < count; ++i) outputs[q][h] += weights[q][i] * static_cast<float>(values[i * width + h]);
}

// Positions that a set of queries sees: `length` of them in blocks, each found at blocks[i] * stride + offset.
template <typename T>
struct Span {
  const int32_t* blocks;
  int64_t length;
  const T *keys, *values;  // of the key/value head
  int64_t stride;          // elements from one block to the next
};

template <int64_t Q, typename T>
SIGHTLOOP_INLINE void score_span(const Span<T>& span, int64_t block_size, const float* const* queries, int64_t width,
                                 float scale, float* const* scores, int64_t shift) {
  for (int64_t block = 0; block < blocks_of(span.length, block_size); ++block) {
    float* rows[Q];
    for (int64_t q = 0; q < Q; ++q) rows[q] = scores[q] + shift + block * block_size;
    score_block<Q>(span.keys + span.blocks[block] * span.stride, block_size, queries, width, scale, rows);
  }
}

template <int64_t Q, typename T>
SIGHTLOOP_INLINE void weigh_span(const Span<T>& span, int64_t block_size, int64_t width, const float* const* scores,
                                 int64_t shift, float* const* outputs) {
  for (int64_t block = 0; block < blocks_of(span.length, block_size); ++block) {
    const float* rows[Q];
    for (int64_t q = 0; q < Q; ++q) rows[q] = scores[q] + shift + block * block_size;
    const auto count = std::min(block_size, span.length - block * block_size);
    weigh_block<Q>(span.values + span.blocks[block] * span.stride, count, width, rows, outputs);
  }
}

// In place: e^(score - highest), 0 where `seen` is passed in neither part; returns 1 / their sum.
SIGHTLOOP_INLINE float softmax(float* scores, int64_t padded) {
  Lanes highest = core::load(scores);
  for (int64_t i = kLanes; i < padded; i += kLanes) {
    const Lanes x = core::load(scores + i);
    highest = x > highest ? x : highest;
  }
  const float top = core::maximum(highest);
  Lanes total = {};
  for (int64_t i = 0; i < padded; i += kLanes) {
    const Lanes weight = core::exponential(core::load(scores + i) - top);
    core::store(scores + i, weight);
    total += weight;
  }
  return 1.0F / core::sum(total);
}

template <typename Visit>
SIGHTLOOP_INLINE void in_tiles(int64_t count, const Visit& visit) {
  int64_t q = 0;
  for (; q + 8 <= count; q += 8) visit(std::integral_constant<int64_t, 8>(), q);
  for (; q + 4 <= count; q += 4) visit(std::integral_constant<int64_t, 4>(), q);
  for (; q < count; ++q) visit(std::integral_constant<int64_t, 1>(), q);
}

// The queries of one key/value head over some slots that share a prompt: [slots][repeats], each with its own completion.
template <typename T>
struct Task {
  Span<T> prompt;
  const Span<T>* own;  // one a slot
  int64_t slots, repeats, width, block_size;
  float scale;
  const float* const* queries;
  float* const* outputs;  // zeroed
  float* const* scores;   // `padded` floats each
  int64_t padded;         // a multiple of kLanes
};

template <typename T>
SIGHTLOOP_INLINE void attend(const Task<T>& task) {
  const auto shift = blocks_of(task.prompt.length, task.block_size) * task.block_size,
             count = task.slots * task.repeats;
  in_tiles(
      count, [&](auto tile, int64_t q) __attribute__((always_inline)) {
        score_span<tile()>(task.prompt, task.block_size, task.queries + q, task.width, task.scale, task.scores + q, 0);
      });
  for (int64_t slot = 0; slot < task.slots; ++slot)
    in_tiles(
        task.repeats, [&](auto tile, int64_t q) __attribute__((always_inline)) {
          q += slot * task.repeats;
          score_span<tile()>(task.own[slot], task.block_size, task.queries + q, task.width, task.scale, task.scores + q,
                             shift);
        });
  for (int64_t q = 0; q < count; ++q) {
    auto* row = task.scores[q];
    const auto end = shift + task.own[q / task.repeats].length;
    std::fill(row + task.prompt.length, row + shift, kMinusInfinity);
    std::fill(row + end, row + task.padded, kMinusInfinity);
    const float inverse = softmax(row, task.padded);
    for (int64_t i = 0; i < end; ++i) row[i] *= inverse;
  }
  in_tiles(
      count, [&](auto tile, int64_t q) __attribute__((always_inline)) {
        constexpr int64_t size = std::min<int64_t>(tile(), 4);  // 4 queries by 4 vectors of values fill the registers
        for (int64_t part = 0; part < tile(); part += size)
          weigh_span<size>(task.prompt, task.block_size, task.width, task.scores + q + part, 0,
                           task.outputs + q + part);
      });
  for (int64_t slot = 0; slot < task.slots; ++slot)
    in_tiles(
        task.repeats, [&](auto tile, int64_t q) __attribute__((always_inline)) {
          constexpr int64_t size = std::min<int64_t>(tile(), 4);
          for (int64_t part = slot * task.repeats; part < slot * task.repeats + tile(); part += size)
            weigh_span<size>(task.own[slot], task.block_size, task.width, task.scores + q + part, shift,
                             task.outputs + q + part);
        });
}

SIGHTLOOP_CPU_CLONES void attend_float(const Task<float>& task) { attend(task); }
SIGHTLOOP_CPU_CLONES void attend_bfloat16(const Task<c10::BFloat16>& task) { attend(task); }
void run(const Task<float>& task) { attend_float(task); }
void run(const Task<c10::BFloat16>& task) { attend_bfloat16(task); }

struct Lengths {
  const int32_t *table, *prompt, *completion;
  int64_t table_width;

  bool idle(int64_t slot) const { return prompt[slot] == 0 && completion[slot] == 0; }
  bool same_prompt(int64_t a, int64_t b) const {
    const auto *first = table + a * table_width, *second = table + b * table_width;
    return prompt[a] > 0 && prompt[a] == prompt[b] && first[0] == second[0];
  }
};

// Runs of at most kSlotsPerTask neighbouring slots that share a prompt.
std::vector<std::pair<int64_t, int64_t>> runs_of(const Lengths& lengths, int64_t slots) {
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (int64_t begin = 0, end = 0; begin < slots; begin = end) {
    end = begin + 1;
    if (lengths.idle(begin)) continue;
    while (end < slots && end - begin < kSlotsPerTask && lengths.same_prompt(begin, end)) ++end;
    runs.emplace_back(begin, end);
  }
  return runs;
}

// query, output [S, N, H] float32, contiguous
template <typename T>
void attend_all(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                const Lengths& lengths, at::Tensor& output) {
  const auto heads = query.size(1), width = query.size(2), kv_heads = key_cache.size(1), repeats = heads / kv_heads;
  const auto block_size = key_cache.size(3), head_stride = width * block_size, stride = kv_heads * head_stride;
  const auto runs = runs_of(lengths, query.size(0));
  const auto tasks = static_cast<int64_t>(runs.size()) * kv_heads;
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    std::vector<float> buffer;
    std::vector<float*> scores, outputs;
    std::vector<const float*> queries;
    std::vector<Span<T>> own;
    for (auto index = first; index < last; ++index) {
      const auto [begin, end] = runs[static_cast<size_t>(index / kv_heads)];
      const auto head = index % kv_heads;
      const auto* keys = key_cache.data_ptr<T>() + head * head_stride;
      const auto* values = value_cache.data_ptr<T>() + head * head_stride;
      const auto span = [&](const int32_t* blocks, int64_t length) {
        return Span<T>{.blocks = blocks, .length = length, .keys = keys, .values = values, .stride = stride};
      };
      const auto* table = lengths.table + begin * lengths.table_width;
      const auto prompt = span(table, lengths.prompt[begin]);
      const auto prompt_blocks = blocks_of(prompt.length, block_size);
      int64_t longest = 0;
      own.clear(), queries.clear(), outputs.clear(), scores.clear();
      for (auto slot = begin; slot < end; ++slot) {
        own.push_back(span(lengths.table + slot * lengths.table_width + prompt_blocks, lengths.completion[slot]));
        longest = std::max<int64_t>(longest, blocks_of(lengths.completion[slot], block_size));
        for (int64_t i = 0; i < repeats; ++i) {
          const auto shift = (slot * heads + head * repeats + i) * width;
          queries.push_back(query.data_ptr<float>() + shift);
          outputs.push_back(output.data_ptr<float>() + shift);
        }
      }
      const auto padded = blocks_of((prompt_blocks + longest) * block_size, kLanes) * kLanes;
      buffer.resize(queries.size() * static_cast<size_t>(padded));
      for (size_t q = 0; q < queries.size(); ++q) scores.push_back(buffer.data() + q * static_cast<size_t>(padded));
      run(Task<T>{.prompt = prompt,
                  .own = own.data(),
                  .slots = end - begin,
                  .repeats = repeats,
                  .width = width,
                  .block_size = block_size,
                  .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width))),
                  .queries = queries.data(),
                  .outputs = outputs.data(),
                  .scores = scores.data(),
                  .padded = padded});
    }
  });
}

}  // namespace

at::Tensor paged_attention_reference(const at::Tensor& query, const at::Tensor& key_cache,
                                     const at::Tensor& value_cache, const at::Tensor& block_table,
                                     const at::Tensor& prompt_lengths, const at::Tensor& completion_lengths) {
  auto output = at::zeros_like(query);
  const auto block_size = key_cache.size(3), repeats = query.size(1) / key_cache.size(1);
  for (int64_t slot = 0; slot < query.size(0); ++slot) {
    const auto prompt = prompt_lengths[slot].item<int64_t>(), own = completion_lengths[slot].item<int64_t>();
    if (prompt + own == 0) continue;
    const auto prompt_blocks = blocks_of(prompt, block_size);
    const auto dense = [&](const at::Tensor& cache) {  // cache [blocks, B, K, H]   returns [prompt + own, N, H]
      const auto part = [&](int64_t first, int64_t length) {
        const auto blocks = block_table[slot].narrow(0, first, blocks_of(length, block_size)).to(at::kLong);
        return cache.index_select(0, blocks).flatten(0, 1).narrow(0, 0, length);
      };
      return at::cat({part(0, prompt), part(prompt_blocks, own)}).repeat_interleave(repeats, 1);
    };
    const auto scores =
        at::einsum("nh,tnh->nt", {query[slot], dense(key_cache.permute({0, 3, 1, 2}))}) / std::sqrt(query.size(2));
    output[slot] = at::einsum("nt,tnh->nh", {scores.softmax(-1), dense(value_cache.permute({0, 2, 1, 3}))});
  }
  return output;
}

at::Tensor paged_attention(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                           const at::Tensor& block_table, const at::Tensor& prompt_lengths,
                           const at::Tensor& completion_lengths) {
  const auto slots = query.size(0), width = query.size(2);
  core::check_shape(key_cache, {-1, -1, width, -1}, "paged_attention.key_cache");
  core::check_shape(value_cache, {key_cache.size(0), key_cache.size(1), key_cache.size(3), width},
                    "paged_attention.value_cache");
  core::check_shape(block_table, {slots, -1}, "paged_attention.block_table");
  core::check_shape(prompt_lengths, {slots}, "paged_attention.prompt_lengths");
  core::check_shape(completion_lengths, {slots}, "paged_attention.completion_lengths");
  const Lengths lengths{.table = block_table.data_ptr<int32_t>(),
                        .prompt = prompt_lengths.data_ptr<int32_t>(),
                        .completion = completion_lengths.data_ptr<int32_t>(),
                        .table_width = block_table.size(1)};
  const auto input = query.to(at::kFloat).contiguous();
  auto output = at::zeros_like(input);
  if (key_cache.scalar_type() == at::kBFloat16)
    attend_all<c10::BFloat16>(input, key_cache, value_cache, lengths, output);
  else
    attend_all<float>(input, key_cache, value_cache, lengths, output);
  return output.to(query.scalar_type());
}

namespace {

template <typename T>
void store_rows(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                const at::Tensor& value) {
  const auto kv_heads = key_cache.size(1), width = key_cache.size(2), block_size = key_cache.size(3);
  auto *keys = key_cache.data_ptr<T>(), *values = value_cache.data_ptr<T>();
  const auto* places = rows.data_ptr<int64_t>();
  at::parallel_for(0, rows.size(0), 64, [&](int64_t begin, int64_t end) {
    for (auto row = begin; row < end; ++row) {
      const auto block = places[row] / block_size, position = places[row] % block_size;
      for (int64_t head = 0; head < kv_heads; ++head) {
        const auto shift = (block * kv_heads + head) * width * block_size;
        const auto* k = key.data_ptr<T>() + row * key.stride(0) + head * key.stride(1);
        const auto* v = value.data_ptr<T>() + row * value.stride(0) + head * value.stride(1);
        for (int64_t h = 0; h < width; ++h) keys[shift + h * block_size + position] = k[h];
        std::copy_n(v, width, values + shift + position * width);
      }
    }
  });
}

}  // namespace

void store_paged(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                 const at::Tensor& value) {
  core::check_shape(key, {-1, key_cache.size(1), key_cache.size(2)}, "store_paged.key");
  core::check_shape(value, key.sizes(), "store_paged.value");
  TORCH_INTERNAL_ASSERT(rows.size(0) <= key.size(0) && key.stride(2) == 1 && value.stride(2) == 1);
  if (key_cache.scalar_type() == at::kBFloat16)
    store_rows<c10::BFloat16>(key_cache, value_cache, rows, key, value);
  else
    store_rows<float>(key_cache, value_cache, rows, key, value);
}

}  // namespace sightloop::kernels
