#include "kernels/shared_prompt.h"

#include <ATen/ATen.h>

namespace sightloop::kernels {

GroupSegments::GroupSegments(const core::Groups& groups, bool causal, at::Device device)
    : own{.queries = {}, .keys = {}, .causal = causal}, of_prompt{.queries = {}, .keys = {}, .causal = false} {
  std::vector<int64_t> completion_rows, prompt_rows;
  const auto append = [](std::vector<int64_t>& rows, int64_t begin, int64_t count) {
    for (int64_t row = begin; row < begin + count; ++row) rows.push_back(row);
  };
  const auto add_own = [&](int64_t rows) {
    if (rows > 0) own.add(rows, rows);
  };
  for (const auto& group : groups) {
    add_own(group.prompt_length);
    for (const auto length : group.completion_lengths) add_own(length);
    const auto tokens = group.completion_tokens();
    if (tokens == 0 || group.prompt_length == 0) continue;
    append(prompt_rows, group.begin, group.prompt_length);
    append(completion_rows, group.begin + group.prompt_length, tokens);
    of_prompt.add(tokens, group.prompt_length);
  }
  own.send(device);
  if (completion_rows.empty()) return;
  of_prompt.send(device);
  completions = at::tensor(completion_rows, at::kLong).to(device);
  prompts = at::tensor(prompt_rows, at::kLong).to(device);
}

SegmentAttention shared_prompt_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const GroupSegments& groups) {
  auto result = attend_segments(query, key, value, groups.own);
  const auto &rows = groups.completions, &prompts = groups.prompts;
  if (!rows.defined()) return result;
  const auto of_prompt = attend_segments(query.index_select(0, rows), key.index_select(0, prompts),
                                         value.index_select(0, prompts), groups.of_prompt);
  const auto merged = merge(
      {.output = result.output.index_select(0, rows), .log_sum = result.log_sum.index_select(1, rows)}, of_prompt);
  result.output.index_copy_(0, rows, merged.output);
  result.log_sum.index_copy_(1, rows, merged.log_sum);
  return result;
}

SegmentGradient shared_prompt_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value, const SegmentAttention& result,
                                       const GroupSegments& groups) {
  auto d = attend_segments_backward(gradient, query, key, value, result, groups.own);
  const auto &rows = groups.completions, &prompts = groups.prompts;
  if (!rows.defined()) return d;
  const auto of_prompt = attend_segments_backward(
      gradient.index_select(0, rows), query.index_select(0, rows), key.index_select(0, prompts),
      value.index_select(0, prompts),
      {.output = result.output.index_select(0, rows), .log_sum = result.log_sum.index_select(1, rows)},
      groups.of_prompt);
  d.query.index_add_(0, rows, of_prompt.query);
  d.key.index_add_(0, prompts, of_prompt.key);
  d.value.index_add_(0, prompts, of_prompt.value);
  return d;
}

}  // namespace sightloop::kernels
