#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/attention_row.h"
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

// The queries of one key/value head over some slots that share a prompt: [slots][repeats], each with its own completion.
template <typename T>
struct Task {
  Span<T> prompt;
  const Span<T>* own;  // one a slot
  int64_t slots, repeats, width, block_size;
  const float* queries;  // [slots * repeats, H], scaled
  float* scores;         // [slots * repeats, columns]
  float* outputs;        // [slots * repeats, H], to be divided by the sums
  float* inverse;        // [slots * repeats], 1 / sum of the weights
  int64_t columns;
};

// Scores of `rows` queries from `row` on, at the columns from `shift` on. The last block may write more than span.length.
template <int64_t R, typename T>
SIGHTLOOP_INLINE void score_span(const Task<T>& task, const Span<T>& span, int64_t row, int64_t rows, int64_t shift) {
  for (int64_t block = 0; block < blocks_of(span.length, task.block_size); ++block)
    multiply<R>(ProductOf<T>{.a = task.queries + row * task.width,
                             .a_row = task.width,
                             .a_step = 1,
                             .b = span.keys + span.blocks[block] * span.stride,
                             .b_step = task.block_size,
                             .c = task.scores + row * task.columns + shift + block * task.block_size,
                             .c_row = task.columns,
                             .start = nullptr,
                             .start_row = 0,
                             .depth = task.width},
                rows, task.block_size);
}

// Adds the values, weighted by the scores.
template <int64_t R, typename T>
SIGHTLOOP_INLINE void weigh_span(const Task<T>& task, const Span<T>& span, int64_t row, int64_t rows, int64_t shift) {
  auto* outputs = task.outputs + row * task.width;
  for (int64_t block = 0; block < blocks_of(span.length, task.block_size); ++block)
    multiply<R>(ProductOf<T>{.a = task.scores + row * task.columns + shift + block * task.block_size,
                             .a_row = task.columns,
                             .a_step = 1,
                             .b = span.values + span.blocks[block] * span.stride,
                             .b_step = task.width,
                             .c = outputs,
                             .c_row = task.width,
                             .start = outputs,
                             .start_row = task.width,
                             .depth = std::min(task.block_size, span.length - block * task.block_size)},
                rows, task.width);
}

template <int64_t R, typename T>
SIGHTLOOP_INLINE void attend(const Task<T>& task) {
  const auto shift = whole(task.prompt.length), rows = task.slots * task.repeats;
  const auto each_slot = [&](auto visit) __attribute__((always_inline)) {
    for (int64_t slot = 0; slot < task.slots; ++slot) visit(task.own[slot], slot * task.repeats);
  };
  score_span<R>(task, task.prompt, 0, rows, 0);
  each_slot([&](const Span<T>& own, int64_t row)
                __attribute__((always_inline)) { score_span<R>(task, own, row, task.repeats, shift); });
  for (int64_t i = 0; i < rows; ++i) {
    auto* row = task.scores + i * task.columns;
    const auto end = shift + task.own[i / task.repeats].length;
    std::fill(row + task.prompt.length, row + shift, kMinusInfinity);
    std::fill(row + end, row + whole(end), kMinusInfinity);
    task.inverse[i] = 1.0F / weigh_row(row, whole(end)).sum;
  }
  std::fill_n(task.outputs, rows * task.width, 0.0F);
  weigh_span<R>(task, task.prompt, 0, rows, 0);
  each_slot([&](const Span<T>& own, int64_t row)
                __attribute__((always_inline)) { weigh_span<R>(task, own, row, task.repeats, shift); });
}

template <typename T>
using Attend = void (*)(const Task<T>&);
SIGHTLOOP_CPU_CLONES void attend_wide(const Task<float>& task) { attend<kWideRows>(task); }
SIGHTLOOP_CPU_CLONES void attend_narrow(const Task<float>& task) { attend<kNarrowRows>(task); }
SIGHTLOOP_CPU_CLONES void attend_wide_half(const Task<c10::BFloat16>& task) { attend<kWideRows>(task); }
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
    std::vector<Span<T>> own;
    for (auto index = first; index < last; ++index) {
      const auto [begin, end] = runs[static_cast<size_t>(index / kv_heads)];
      const auto head = index % kv_heads, slots = end - begin, rows = slots * repeats;
      const auto span = [&](int64_t slot, int64_t first_block, int64_t length) {
        return Span<T>{.blocks = lengths.table + slot * lengths.table_width + first_block,
                       .length = length,
                       .keys = key_cache.data_ptr<T>() + head * head_stride,
                       .values = value_cache.data_ptr<T>() + head * head_stride,
                       .stride = stride};
      };
      const auto prompt = span(begin, 0, lengths.prompt[begin]);
      const auto prompt_blocks = blocks_of(prompt.length, block_size);
      int64_t longest = 0;
      own.clear();
      for (auto slot = begin; slot < end; ++slot) {
        own.push_back(span(slot, prompt_blocks, lengths.completion[slot]));
        longest = std::max<int64_t>(longest, blocks_of(lengths.completion[slot], block_size));
      }
      // Room for the last block of either, which may reach beyond the positions held.
      const auto columns = whole(std::max(prompt_blocks * block_size, whole(prompt.length) + longest * block_size));
      queries.resize(static_cast<size_t>(rows * width)), outputs.resize(queries.size());
      scores.resize(static_cast<size_t>(rows * columns)), inverse.resize(static_cast<size_t>(rows));
      const auto place = [&](int64_t row) {  // of the row's head in `query` and `output`
        return ((begin + row / repeats) * heads + head * repeats + row % repeats) * width;
      };
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t h = 0; h < width; ++h)
          queries[row * width + h] = query.data_ptr<float>()[place(row) + h] * scale;
      run({.prompt = prompt,
           .own = own.data(),
           .slots = slots,
           .repeats = repeats,
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
