#pragma once
#include "core/attention_context.h"
#include "kernels/segments.h"

// Attention of packed groups by few calls over all of them: every sequence to itself, and the completions of each group to
// their prompt, merged. Where prompts stand once, no key or value is copied for a completion. Shapes as group_attention.h.
namespace sightloop::kernels {

SegmentAttention shared_prompt_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const core::Groups& groups, bool causal);
SegmentGradient shared_prompt_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value, const SegmentAttention& result,
                                       const core::Groups& groups, bool causal);

}  // namespace sightloop::kernels
