#include "kernels/group_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/cpu.h"
#include "kernels/attention_blocks.h"

// One task is one group and one key/value head. The prompt's keys and values are copied once; each sequence's own follow them,
// so that a query sees a run of columns from the first on.
namespace sightloop::kernels {
namespace {

SIGHTLOOP_CPU_CLONES void attend_wide(const Block& b, const Columns& c, const Sizes& s, Scratch& x, float* log_sums) {
  attend_block<kWideRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void attend_narrow(const Block& b, const Columns& c, const Sizes& s, Scratch& x, float* log_sums) {
  attend_block<kNarrowRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void differentiate_wide(const Block& b, Columns& c, const Sizes& s, Scratch& x,
                                             const float* log_sums) {
  differentiate_block<kWideRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void differentiate_narrow(const Block& b, Columns& c, const Sizes& s, Scratch& x,
                                               const float* log_sums) {
  differentiate_block<kNarrowRows>(b, c, s, x, log_sums);
}

// Calls `visit(row, length)` for the prompt alone, then for each completion behind the prompt's columns.
template <typename Visit>
void each_sequence(const core::Group& group, Columns& columns, const Visit& visit) {
  columns.prompt = columns.shift = 0;
  if (group.prompt_length > 0) visit(group.begin, group.prompt_length);
  columns.prompt = group.prompt_length;
  columns.shift = whole(group.prompt_length);
  auto row = group.begin + group.prompt_length;
  for (const auto length : group.completion_lengths) {
    if (length > 0) visit(row, length);
    row += length;
  }
}

int64_t columns_of(const core::Group& group) {
  int64_t longest = 0;
  for (const auto length : group.completion_lengths) longest = std::max(longest, length);
  return std::max(whole(group.prompt_length), whole(group.prompt_length) + whole(longest));
}

template <typename Visit>
void each_block(int64_t length, bool causal, const Visit& visit) {
  for (int64_t first = 0; first < length; first += kBlock)
    visit(Block{.first = first, .rows = std::min(kBlock, length - first), .length = length, .causal = causal});
}

Sizes sizes_of(const at::Tensor& query) {
  const auto width = query.size(2);
  return {.width = width, .padded = whole(width), .scale = attention_scale(width)};
}

// One group under one key/value head: its buffers.
struct Task {
  int64_t kv_head = 0;
  Columns columns;
  Scratch scratch;
  float log_sums[kBlock];
};

// Runs every task: `on_block(task, head, row, block)` for each block of queries, the first of which is `row`;
// `on_sequence(task, column, row, length)` once a sequence's columns, from `column` on, have met all their queries.
template <typename OnBlock, typename OnSequence>
void each_task(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const core::Groups& groups,
               bool causal, bool backward, const OnBlock& on_block, const OnSequence& on_sequence) {
  const auto kv_heads = key.size(1), repeats = query.size(1) / kv_heads;
  const auto sizes = sizes_of(query);
  at::parallel_for(0, static_cast<int64_t>(groups.size()) * kv_heads, 1, [&](int64_t begin, int64_t end) {
    Task task;
    auto& columns = task.columns;
    for (auto index = begin; index < end; ++index) {
      const auto& group = groups[static_cast<size_t>(index / kv_heads)];
      task.kv_head = index % kv_heads;
      const auto keys = head_rows(key, task.kv_head), values = head_rows(value, task.kv_head);
      columns.resize(columns_of(group), sizes.padded, backward);
      task.scratch.resize(sizes.padded, columns.count);
      each_sequence(group, columns, [&](int64_t row, int64_t length) {
        fill(columns, sizes, keys, values, row, length, columns.shift);
        for (auto* sums : {&columns.dkeys, &columns.dvalues})
          if (backward) std::fill(sums->begin() + columns.shift * sizes.padded, sums->end(), 0.0F);
        for (auto head = task.kv_head * repeats; head < (task.kv_head + 1) * repeats; ++head)
          each_block(length, causal, [&](const Block& block) { on_block(task, head, row + block.first, block); });
        const bool is_prompt = row == group.begin && group.prompt_length > 0;
        if (!is_prompt) on_sequence(task, columns.shift, row, length);
      });
      if (group.prompt_length > 0) on_sequence(task, 0, group.begin, group.prompt_length);
    }
  });
}

}  // namespace

GroupAttention group_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const core::Groups& groups, bool causal) {
  const auto heads = query.size(1);
  const auto sizes = sizes_of(query);
  GroupAttention result{.output = at::empty(query.sizes(), query.options()),
                        .log_sum = at::empty({query.size(0), heads}, query.options())};
  const auto attend = has_wide_registers() ? attend_wide : attend_narrow;
  each_task(
      query, key, value, groups, causal, /*backward=*/false,
      [&](Task& task, int64_t head, int64_t row, const Block& block) {
        auto& scratch = task.scratch;
        take_rows(head_rows(query, head), row, block.rows, sizes, sizes.scale, scratch.queries);
        attend(block, task.columns, sizes, scratch, task.log_sums);
        put_rows(scratch.outputs.data(), block.rows, sizes, 1, head_rows(result.output, head), row);
        for (int64_t i = 0; i < block.rows; ++i)
          result.log_sum.data_ptr<float>()[(row + i) * heads + head] = task.log_sums[i];
      },
      [](const Task&, int64_t, int64_t, int64_t) {});
  return result;
}

GroupAttentionGradient group_attention_backward(const at::Tensor& gradient, const at::Tensor& query,
                                                const at::Tensor& key, const at::Tensor& value,
                                                const GroupAttention& result, const core::Groups& groups, bool causal) {
  const auto heads = query.size(1);
  const auto sizes = sizes_of(query);
  GroupAttentionGradient d{.query = at::empty(query.sizes(), query.options()),
                           .key = at::empty(key.sizes(), key.options()),
                           .value = at::empty(value.sizes(), value.options())};
  const auto differentiate = has_wide_registers() ? differentiate_wide : differentiate_narrow;
  each_task(
      query, key, value, groups, causal, /*backward=*/true,
      [&](Task& task, int64_t head, int64_t row, const Block& block) {
        auto& scratch = task.scratch;
        take_rows(head_rows(query, head), row, block.rows, sizes, sizes.scale, scratch.queries);
        take_rows(head_rows(result.output, head), row, block.rows, sizes, 1, scratch.outputs);
        take_rows(head_rows(gradient, head), row, block.rows, sizes, 1, scratch.doutputs);
        for (int64_t i = 0; i < block.rows; ++i)
          task.log_sums[i] = result.log_sum.data_ptr<float>()[(row + i) * heads + head];
        differentiate(block, task.columns, sizes, scratch, task.log_sums);
        put_rows(scratch.dqueries.data(), block.rows, sizes, sizes.scale, head_rows(d.query, head), row);
      },
      [&](const Task& task, int64_t column, int64_t row, int64_t length) {
        const auto* dkeys = task.columns.dkeys.data() + column * sizes.padded;
        const auto* dvalues = task.columns.dvalues.data() + column * sizes.padded;
        put_rows(dkeys, length, sizes, 1, head_rows(d.key, task.kv_head), row);
        put_rows(dvalues, length, sizes, 1, head_rows(d.value, task.kv_head), row);
      });
  return d;
}

}  // namespace sightloop::kernels
