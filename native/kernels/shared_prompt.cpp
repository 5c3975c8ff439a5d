#include "kernels/shared_prompt.h"

#include <ATen/ATen.h>

namespace sightloop::kernels {
namespace {

Segments own_segments(const core::Groups& groups, bool causal) {
  Segments segments{.causal = causal};
  const auto add = [&](int64_t rows) {
    if (rows > 0) segments.add(rows, rows);
  };
  for (const auto& group : groups) {
    add(group.prompt_length);
    for (const auto length : group.completion_lengths) add(length);
  }
  return segments;
}

// All completion tokens against their group's prompt.
struct PromptPart {
  Segments segments{.causal = false};
  at::Tensor queries, keys;  // rows of the packed tensors
  bool empty = true;

  PromptPart(const core::Groups& groups, at::Device device) {
    std::vector<int64_t> query_rows, key_rows;
    const auto append = [](std::vector<int64_t>& rows, int64_t begin, int64_t count) {
      for (int64_t row = begin; row < begin + count; ++row) rows.push_back(row);
    };
    for (const auto& group : groups) {
      const auto completions = group.completion_tokens();
      if (completions == 0 || group.prompt_length == 0) continue;
      append(key_rows, group.begin, group.prompt_length);
      append(query_rows, group.begin + group.prompt_length, completions);
      segments.add(completions, group.prompt_length);
    }
    empty = query_rows.empty();
    if (empty) return;
    queries = at::tensor(query_rows, at::kLong).to(device);
    keys = at::tensor(key_rows, at::kLong).to(device);
  }
};

}  // namespace

SegmentAttention shared_prompt_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const core::Groups& groups, bool causal) {
  auto result = attend_segments(query, key, value, own_segments(groups, causal));
  const PromptPart part(groups, query.device());
  if (part.empty) return result;
  const auto of_prompt = attend_segments(query.index_select(0, part.queries), key.index_select(0, part.keys),
                                         value.index_select(0, part.keys), part.segments);
  const auto merged = merge(
      {.output = result.output.index_select(0, part.queries), .log_sum = result.log_sum.index_select(1, part.queries)},
      of_prompt);
  result.output.index_copy_(0, part.queries, merged.output);
  result.log_sum.index_copy_(1, part.queries, merged.log_sum);
  return result;
}

SegmentGradient shared_prompt_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value, const SegmentAttention& result,
                                       const core::Groups& groups, bool causal) {
  auto d = attend_segments_backward(gradient, query, key, value, result, own_segments(groups, causal));
  const PromptPart part(groups, query.device());
  if (part.empty) return d;
  const auto of_prompt = attend_segments_backward(
      gradient.index_select(0, part.queries), query.index_select(0, part.queries), key.index_select(0, part.keys),
      value.index_select(0, part.keys),
      {.output = result.output.index_select(0, part.queries), .log_sum = result.log_sum.index_select(1, part.queries)},
      part.segments);
  d.query.index_add_(0, part.queries, of_prompt.query);
  d.key.index_add_(0, part.keys, of_prompt.key);
  d.value.index_add_(0, part.keys, of_prompt.value);
  return d;
}

}  // namespace sightloop::kernels
