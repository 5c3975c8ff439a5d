#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention_context.h"

// Attention of packed groups on the CPU in float32. T tokens, N query heads, K key/value heads, H head width.
namespace sightloop::kernels {

struct GroupAttention {
  at::Tensor output;   // [T, N, H]
  at::Tensor log_sum;  // [T, N] log-sum-exp of the scaled scores
};
//   query [T, N, H]   key, value [T, K, H], last axis dense   causal: a token sees no later one of its own sequence
GroupAttention group_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const core::Groups& groups, bool causal);

struct GroupAttentionGradient {
  at::Tensor query, key, value;
};
GroupAttentionGradient group_attention_backward(const at::Tensor& gradient, const at::Tensor& query,
                                                const at::Tensor& key, const at::Tensor& value,
                                                const GroupAttention& result, const core::Groups& groups, bool causal);

}  // namespace sightloop::kernels
