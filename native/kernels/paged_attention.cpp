#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/attention_row.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"
#include "kernels/paged.h"
#include "kernels/tiles.h"

// S slots, N query heads, K key/value heads, H head width, B positions in a block.
namespace sightloop::kernels {
namespace {

constexpr int64_t kSlotsPerTask = 8;

// Positions that a set of queries sees: `length` of them in blocks, each found at blocks[i] * stride + offset.
template <typename T>
struct Span {
  const int32_t* blocks;
  int64_t length;
  const T *keys, *values;  // of the key/value head: [H, B] and [B, H] in a block
  int64_t stride;          // elements from one block to the next
};

// Queries `row` .. `row + rows` of a task look at one span, whose scores stand at the columns from `shift` on.
template <typename T>
struct Part {
  Span<T> span;
  int64_t row, rows, shift;
};

// The queries of one key/value head over some slots that share a prompt: [slots][repeats], each with its own completion.
template <typename T>
struct Task {
  const Part<T>* parts;  // the prompt for all queries, then each slot's completion for its own
  int64_t num_parts;
  int64_t width, block_size;
  const float* queries;  // [slots * repeats, H], scaled
  float* scores;         // [slots * repeats, columns]
  float* outputs;        // [slots * repeats, H], zeroed; to be divided by the sums of the weights
  float* inverse;        // [slots * repeats], 1 / sum of the weights
  int64_t columns;
};

// The last block may write more scores than the span has positions.
template <int64_t R, typename T>
SIGHTLOOP_INLINE void score(const Task<T>& task, const Part<T>& part) {
  for (int64_t block = 0; block < blocks_of(part.span.length, task.block_size); ++block)
    multiply<R>(ProductOf<T>{.a = task.queries + part.row * task.width,
                             .a_row = task.width,
                             .a_step = 1,
                             .b = part.span.keys + part.span.blocks[block] * part.span.stride,
                             .b_step = task.block_size,
                             .c = task.scores + part.row * task.columns + part.shift + block * task.block_size,
                             .c_row = task.columns,
                             .start = nullptr,
                             .start_row = 0,
                             .depth = task.width},
                part.rows, task.block_size);
}

// Adds the span's values, weighted by the scores.
template <int64_t R, typename T>
SIGHTLOOP_INLINE void weigh(const Task<T>& task, const Part<T>& part) {
  auto* outputs = task.outputs + part.row * task.width;
  for (int64_t block = 0; block < blocks_of(part.span.length, task.block_size); ++block)
    multiply<R>(ProductOf<T>{.a = task.scores + part.row * task.columns + part.shift + block * task.block_size,
                             .a_row = task.columns,
                             .a_step = 1,
                             .b = part.span.values + part.span.blocks[block] * part.span.stride,
                             .b_step = task.width,
                             .c = outputs,
                             .c_row = task.width,
                             .start = outputs,
                             .start_row = task.width,
                             .depth = std::min(task.block_size, part.span.length - block * task.block_size)},
                part.rows, task.width);
}

template <int64_t R, typename T>
SIGHTLOOP_INLINE void attend(const Task<T>& task) {
  for (int64_t i = 0; i < task.num_parts; ++i) score<R>(task, task.parts[i]);
  const auto prompt = task.parts[0].span.length;
  for (int64_t i = 1; i < task.num_parts; ++i) {
    const auto& own = task.parts[i];
    const auto end = own.shift + own.span.length;
    for (auto query = own.row; query < own.row + own.rows; ++query) {
      auto* row = task.scores + query * task.columns;
      std::fill(row + prompt, row + own.shift, kMinusInfinity);
      std::fill(row + end, row + whole(end), kMinusInfinity);
      task.inverse[query] = 1.0F / weigh_row(row, whole(end)).sum;
    }
  }
  for (int64_t i = 0; i < task.num_parts; ++i) weigh<R>(task, task.parts[i]);
}

template <typename T>
using Attend = void (*)(const Task<T>&);
SIGHTLOOP_CPU_CLONES void attend_wide(const Task<float>& task) { attend<kFewWideRows>(task); }
SIGHTLOOP_CPU_CLONES void attend_narrow(const Task<float>& task) { attend<kNarrowRows>(task); }
SIGHTLOOP_CPU_CLONES void attend_wide_half(const Task<c10::BFloat16>& task) { attend<kFewWideRows>(task); }
SIGHTLOOP_CPU_CLONES void attend_narrow_half(const Task<c10::BFloat16>& task) { attend<kNarrowRows>(task); }

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
                const Lengths& lengths, at::Tensor& output, Attend<T> run) {
  const auto heads = query.size(1), width = query.size(2), kv_heads = key_cache.size(1), repeats = heads / kv_heads;
  const auto block_size = key_cache.size(3), head_stride = width * block_size, stride = kv_heads * head_stride;
  const auto scale = attention_scale(width);
  const auto runs = runs_of(lengths, query.size(0));
  const auto tasks = static_cast<int64_t>(runs.size()) * kv_heads;
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    std::vector<float> queries, scores, outputs, inverse;
    std::vector<Part<T>> parts;
    for (auto index = first; index < last; ++index) {
      const auto [begin, end] = runs[static_cast<size_t>(index / kv_heads)];
      const auto head = index % kv_heads, rows = (end - begin) * repeats;
      const auto span = [&](int64_t slot, int64_t first_block, int64_t length) {
        return Span<T>{.blocks = lengths.table + slot * lengths.table_width + first_block,
                       .length = length,
                       .keys = key_cache.data_ptr<T>() + head * head_stride,
                       .values = value_cache.data_ptr<T>() + head * head_stride,
                       .stride = stride};
      };
      const int64_t prompt_length = lengths.prompt[begin];
      const auto prompt_blocks = blocks_of(prompt_length, block_size);
      const auto shift = whole(prompt_length);
      // Room for the last block of either, which may reach beyond the positions held.
      auto columns = whole(prompt_blocks * block_size);
      parts.assign(1, {.span = span(begin, 0, prompt_length), .row = 0, .rows = rows, .shift = 0});
      for (auto slot = begin; slot < end; ++slot) {
        const int64_t length = lengths.completion[slot];
        parts.push_back({.span = span(slot, prompt_blocks, length),
                         .row = (slot - begin) * repeats,
                         .rows = repeats,
                         .shift = shift});
        columns = std::max(columns, whole(shift + blocks_of(length, block_size) * block_size));
      }
      queries.resize(static_cast<size_t>(rows * width)), outputs.assign(queries.size(), 0.0F);
      scores.resize(static_cast<size_t>(rows * columns)), inverse.resize(static_cast<size_t>(rows));
      const auto place = [&](int64_t row) {  // of the row's head in `query` and `output`
        return ((begin + row / repeats) * heads + head * repeats + row % repeats) * width;
      };
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t h = 0; h < width; ++h) queries[row * width + h] = query.data_ptr<float>()[place(row) + h] * scale;
      run({.parts = parts.data(),
           .num_parts = static_cast<int64_t>(parts.size()),
           .width = width,
           .block_size = block_size,
           .queries = queries.data(),
           .scores = scores.data(),
           .outputs = outputs.data(),
           .inverse = inverse.data(),
           .columns = columns});
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t h = 0; h < width; ++h)
          output.data_ptr<float>()[place(row) + h] = outputs[row * width + h] * inverse[row];
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
  if (query.is_cuda())
    return cuda::paged_attention(query, key_cache, value_cache, block_table, prompt_lengths, completion_lengths);
  if (!query.is_cpu())
    return paged_attention_reference(query, key_cache, value_cache, block_table, prompt_lengths, completion_lengths);
  const Lengths lengths{.table = block_table.data_ptr<int32_t>(),
                        .prompt = prompt_lengths.data_ptr<int32_t>(),
                        .completion = completion_lengths.data_ptr<int32_t>(),
                        .table_width = block_table.size(1)};
  const auto input = query.to(at::kFloat).contiguous();
  auto output = at::zeros_like(input);
  const bool wide = has_wide_registers();
  if (key_cache.scalar_type() == at::kBFloat16)
    attend_all<c10::BFloat16>(input, key_cache, value_cache, lengths, output,
                              wide ? attend_wide_half : attend_narrow_half);
  else
    attend_all<float>(input, key_cache, value_cache, lengths, output, wide ? attend_wide : attend_narrow);
  return output.to(query.scalar_type());
}

}  // namespace sightloop::kernels
