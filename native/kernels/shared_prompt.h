#pragma once
#include "core/attention_context.h"
#include "kernels/segments.h"

// Attention of packed groups by few calls over all of them: every sequence to itself, and the completions of each group to
// their prompt, merged. Where prompts stand once, no key or value is copied for a completion. Shapes as group_attention.h.
namespace sightloop::kernels {

// Which rows see which, on one device.
struct GroupSegments {
  Segments own;        // every sequence
  Segments of_prompt;  // all completion tokens of a group, and its prompt
  at::Tensor
      completions;     // [queries of of_prompt] int64, their rows in the packed tensors; undefined: no prompt is shared
  at::Tensor prompts;  // [keys of of_prompt] int64

  GroupSegments(const core::Groups& groups, bool causal, at::Device device);
};

SegmentAttention shared_prompt_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const GroupSegments& groups);
SegmentGradient shared_prompt_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value, const SegmentAttention& result,
                                       const GroupSegments& groups);

}  // namespace sightloop::kernels
