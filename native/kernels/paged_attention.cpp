#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"
#include "kernels/paged.h"

// S slots, N query heads, K key/value heads, H head width, B positions in a block.
namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kSlotsPerTask = 8;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Two partial sums everywhere: enough independent sums for one query alone to keep the multipliers busy, and the same order
// of adding however many queries are computed together.

// scores[q][i] = queries[q] . keys[:, i] * scale for the B positions of one block.   keys [H, B]
template <int64_t Q, typename T>
SIGHTLOOP_INLINE void score_block(const T* keys, int64_t block_size, const float* const* queries, int64_t width,
                                  float scale, float* const* scores) {
  int64_t begin = 0;
  for (; begin + kLanes <= block_size; begin += kLanes) {
    Lanes even[Q] = {}, odd[Q] = {};
    int64_t h = 0;
    for (; h + 2 <= width; h += 2) {
      const Lanes first = core::load(keys + h * block_size + begin),
                  second = core::load(keys + (h + 1) * block_size + begin);
      for (int64_t q = 0; q < Q; ++q) {
        even[q] += queries[q][h] * first;
        odd[q] += queries[q][h + 1] * second;
      }
    }
    for (; h < width; ++h)
      for (int64_t q = 0; q < Q; ++q) even[q] += queries[q][h] * core::load(keys + h * block_size + begin);
    for (int64_t q = 0; q < Q; ++q) core::store(scores[q] + begin, (even[q] + odd[q]) * scale);
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
  Lanes even[Q][L], odd[Q][L] = {};
  for (int64_t q = 0; q < Q; ++q)
    for (int64_t l = 0; l < L; ++l) even[q][l] = core::load(outputs[q] + h + l * kLanes);
  int64_t i = 0;
  for (; i + 2 <= count; i += 2)
    for (int64_t l = 0; l < L; ++l) {
      const Lanes first = core::load(values + i * width + h + l * kLanes),
                  second = core::load(values + (i + 1) * width + h + l * kLanes);
      for (int64_t q = 0; q < Q; ++q) {
        even[q][l] += weights[q][i] * first;
        odd[q][l] += weights[q][i + 1] * second;
      }
    }
  for (; i < count; ++i)
    for (int64_t l = 0; l < L; ++l)
      for (int64_t q = 0; q < Q; ++q) even[q][l] += weights[q][i] * core::load(values + i * width + h + l * kLanes);
  for (int64_t q = 0; q < Q; ++q)
    for (int64_t l = 0; l < L; ++l) core::store(outputs[q] + h + l * kLanes, even[q][l] + odd[q][l]);
}

template <int64_t Q, typename T>
SIGHTLOOP_INLINE void weigh_block(const T* values, int64_t count, int64_t width, const float* const* weights,
                                  float* const* outputs) {
  int64_t h = 0;
  for (; h + 2 * kLanes <= width; h += 2 * kLanes) weigh_lanes<Q, 2>(values, count, width, weights, outputs, h);
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

// In place: e^(score - highest); returns 1 / their sum.   padded: a multiple of kLanes
SIGHTLOOP_INLINE float softmax(float* scores, int64_t padded) {
  const float highest = core::maximum(scores, padded);
  Lanes total = {};
  for (int64_t i = 0; i < padded; i += kLanes) {
    const Lanes weight = core::exponential(core::load(scores + i) - highest);
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
  for (; q + 2 <= count; q += 2) visit(std::integral_constant<int64_t, 2>(), q);
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

}  // namespace sightloop::kernels
