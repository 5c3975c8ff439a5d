#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

// The ops' CUDA kernels, launched on the current stream. None waits for the device, and every grid depends on shapes only, so
// all may be captured in a CUDA graph. Tensors are float32 or bfloat16 and contiguous unless said otherwise; sums are float32.
// Each adds in one order that depends on shapes alone. Reference and meaning: kernels.h.
// T tokens, D model width, N query heads, K key/value heads, H head width, V vocabulary, F feed-forward width, S slots.
namespace sightloop::kernels::cuda {

//   x [T, D]   weight [D], the dtype of x   inverse: receives [T] float32 1 / sqrt(mean(x^2) + epsilon) unless null
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::Tensor* inverse);

struct RmsNormGradient {
  at::Tensor x, weight;
};
//   dy, x [T, D]   inverse: of the forward pass. The weight's gradient is summed in float32.
RmsNormGradient rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& inverse);

// x + residual, rounded to their dtype, and its norm, in one pass.   x, residual [T, D]   inverse: as in rms_norm
std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& residual,
                                                const at::Tensor& weight, double epsilon, at::Tensor* inverse);

//   x [T, N, H] with any strides but a dense last axis   cos, sin [T, H/2] float32   sign -1 rotates back
//   returns [T, N, H], contiguous
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign);

//   gate_up [T, 2F]   returns [T, F]
at::Tensor swiglu(const at::Tensor& gate_up);
//   dh [T, F]   returns [T, 2F]
at::Tensor swiglu_backward(const at::Tensor& gate_up, const at::Tensor& dh);

// As kernels::store_paged; a negative row is not stored (an idle slot of a batch of fixed size).
//   key, value [T, K, H] with any strides but a dense last axis, the cache's dtype
void store_paged(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                 const at::Tensor& value);
// As kernels::paged_attention, for blocks of 16, 32 or 64 positions and heads of H elements, H * sizeof(dtype) a multiple of
// 16 up to 512. The query has the cache's dtype. The grid has room for block_table.size(1) blocks a slot: keep it near need.
at::Tensor paged_attention(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                           const at::Tensor& block_table, const at::Tensor& prompt_lengths,
                           const at::Tensor& completion_lengths);

// Log-prob of the target, entropy and log-sum-exp of rows of logits / temperature, put at begin .. begin + R - 1 of the results.
//   logits [R, V], not divided yet   targets [T] int64, within the vocabulary   logprobs, entropy, log_sums [T] float32
void head_row_sums(const at::Tensor& logits, const at::Tensor& targets, double inverse_temperature,
                   at::Tensor& logprobs, at::Tensor& entropy, at::Tensor& log_sums, int64_t begin);
// In place, those logits to gradients of a product's output (before the division by the temperature).
//   dlogprobs, dentropy [T] float32, already divided by the temperature   log_sums, entropy: of head_row_sums
void head_differentiate(at::Tensor& logits, const at::Tensor& targets, const at::Tensor& log_sums,
                        const at::Tensor& entropy, const at::Tensor& dlogprobs, const at::Tensor& dentropy,
                        int64_t begin, double inverse_temperature);

struct SampleSettings {
  at::Tensor temperature;  // [S] float32, 0: greedy
  at::Tensor top_k;        // [S] int32, 0: all
  at::Tensor top_p;        // [S] float32, 1: all
  at::Tensor banned;       // [n] int64, for every slot; n may be 0
};
// What core::DrawKey holds, on the device, so that a captured graph can go on with new keys.
struct DrawKeys {
  at::Tensor seed_step;     // [2] int64: seed, step
  at::Tensor prompt_id;     // [S] int64
  at::Tensor sample_index;  // [S] int32
  at::Tensor position;      // [S] int32
};
struct Sampled {
  at::Tensor tokens;                                // [S] int64; -1 where the logits are not finite
  at::Tensor logprobs, sampling_logprobs, margins;  // [S] float32; NaN there
};
// kernels::sample for every row, with core::uniform of its key.   logits [S, V] float32
Sampled sample(const at::Tensor& logits, const SampleSettings& settings, const DrawKeys& keys);

// Attention over two sets of columns together, from each one's attention and log-sum-exp (-infinity: an empty set, whose output
// is not looked at).   out_a, out_b [T, N, H]   lse_a, lse_b [T, N] float32 with any strides
//   returns the output and its log-sum-exp, [T, N] contiguous. Not differentiable.
std::tuple<at::Tensor, at::Tensor> merge_attention(const at::Tensor& out_a, const at::Tensor& lse_a,
                                                   const at::Tensor& out_b, const at::Tensor& lse_b);

}  // namespace sightloop::kernels::cuda
