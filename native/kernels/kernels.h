#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/attention_context.h"
#include "kernels/attention_layout.h"

// Ops. Each has one file with its check, its reference and its dispatch.
// T tokens, D model width, N query heads, K key/value heads, H head width, V vocabulary, F feed-forward width.
namespace sightloop::kernels {

// Which product a weight multiplies rows with. `fastest`: a library's; the last bits of a row may change with the number of
// rows. `batch_invariant`: ours, float32 only; a row's result is the same in any company, packed weights or not, bit for bit.
enum class Products : uint8_t { fastest, batch_invariant };

// y = x weight^T + bias.   x [T, in]   weight [out, in]   bias [out] or undefined   returns [T, out]. Differentiable; the
// gradients come from the fastest product always.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  Products products = Products::fastest);
// The same without a graph: the product every op here uses. x and weight may have any strides.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   Products products = Products::fastest);
// Where the fastest product of float32 comes from on this processor: "onednn" or "libtorch".
const char* fastest_product();
// dy^T x, the gradient of a weight.   dy [T, out]   x [T, in]   returns [out, in]
at::Tensor weight_gradient(const at::Tensor& dy, const at::Tensor& x);

// A float32 weight laid out for products with few rows; a copy, to be made again when the weight changes.
struct PackedWeight {
  at::Tensor panels;  // [outputs / 32 rounded up, inputs, 32]
  int64_t outputs = 0;
};
PackedWeight pack_weight(const at::Tensor& weight);
// linear(x, weight, bias) without a graph, any number of rows. A row's result does not depend on the other rows, bit for bit.
at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight, const at::Tensor& bias);
// packed_linear(x, pack_weight(weight), bias), bit for bit; the weight is packed panel by panel on the way.
at::Tensor panel_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// y = x / sqrt(mean(x^2 over D) + epsilon) * weight.   x [T, D]   weight [D]. Differentiable.
// Source: arXiv:1910.07467 eq. 4.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon);
struct AddedNorm {
  at::Tensor sum, normed;
};
// x + residual, rounded to their dtype, and rms_norm of it; one pass on CUDA.   x, residual [T, D]. Differentiable.
AddedNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double epsilon);

// Rotates pairs (i, i + H/2) of the last axis.   x [T, N, H]   cos, sin [T, H/2]. Differentiable in x.
// Source: arXiv:2104.09864 eq. 34.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);
at::Tensor rotate_reference(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// silu(gate) * up.   gate_up [T, 2F]: gate, then up   returns [T, F]. Differentiable. Source: arXiv:2002.05202 eq. 6.
at::Tensor swiglu(const at::Tensor& gate_up);
at::Tensor swiglu_reference(const at::Tensor& gate_up);

// x * sigmoid(1.702 x). Differentiable. Source: arXiv:1606.08415 section 2.
at::Tensor quick_gelu(const at::Tensor& x);
// x * Phi(x), exact. Differentiable. Source: arXiv:1606.08415 section 2.
at::Tensor gelu(const at::Tensor& x);

// Cosine and sine of every angle, float32. An element's value does not depend on its place, as libtorch's may.
struct CosSin {
  at::Tensor cos, sin;  // shape of `angles`, contiguous
};
CosSin cos_sin(const at::Tensor& angles);

// Who sees whom among the T rows of a packed pass (attention_layout.h): made once, used in every layer.
using LayoutPtr = c10::intrusive_ptr<AttentionLayout>;
// Segments [boundaries[i], boundaries[i + 1]) to themselves.   boundaries: ascending, 0 .. T
LayoutPtr segment_layout(std::span<const int64_t> boundaries, bool causal);
// Causal; the completions of a group share one prompt, each sees it and itself.   groups: from token 0 on, end to end
LayoutPtr shared_prompt_layout(core::Groups groups);
// A prompt's keys and values stand once for all its completions, in forward and backward.
//   query [T, N, H]   key, value [T, K, H]   returns [T, N, H]. Differentiable.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayoutPtr& layout);

// One query per slot against a paged key/value cache. Neighbouring slots with the same prompt read it together.
//   query [S, N, H]   key_cache [blocks, K, H, B], value_cache [blocks, K, B, H], B positions a block; float32 or bfloat16
//   block_table [S, max_blocks] int32: a prompt's blocks, then the completion's own (which start a new block)
//   prompt_lengths, completion_lengths [S] int32 positions held; both 0: an idle slot, its output is 0
//   returns [S, N, H]. Not differentiable. Source: arXiv:2309.06180.
at::Tensor paged_attention(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                           const at::Tensor& block_table, const at::Tensor& prompt_lengths,
                           const at::Tensor& completion_lengths);
at::Tensor paged_attention_reference(const at::Tensor& query, const at::Tensor& key_cache,
                                     const at::Tensor& value_cache, const at::Tensor& block_table,
                                     const at::Tensor& prompt_lengths, const at::Tensor& completion_lengths);
// Puts the first rows.size(0) of key, value [T, K, H] into the cache.   rows [R] int64: block * B + position in it; beyond the
// CPU -1: nowhere
void store_paged(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                 const at::Tensor& value);

// Logits in float32, products summed in float32 whatever the inputs: bfloat16 logits would be too coarse for log-probs.
//   hidden [T, D]   weight [V, D]   returns [T, V] float32. Not differentiable.
at::Tensor head_logits(const at::Tensor& hidden, const at::Tensor& weight, Products products = Products::fastest);

// Log-probability of each target and entropy of each next-token distribution, in float32 and in chunks of rows, so that
// no [T, V] tensor exists; logits are recomputed in backward.
//   hidden [T, D]   weight [V, D]   targets [T] int64   logits are divided by `temperature`
struct HeadLogprobs {
  at::Tensor logprobs;  // [T] float32, nats. Differentiable.
  at::Tensor entropy;   // [T] float32, nats. Differentiable.
};
HeadLogprobs lm_head_logprobs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                              double temperature, Products products = Products::fastest);

struct SampleOptions {
  double temperature = 1;       // 0: greedy, log-probs at temperature 1
  int64_t top_k = 0;            // 0: all
  double top_p = 1;             // 1: all
  std::vector<int64_t> banned;  // never sampled
  bool filters() const { return top_k > 0 || top_p < 1; }
};
struct Sample {
  int64_t token;
  float logprob;           // full vocabulary, before filters and bans
  float sampling_logprob;  // after them
  // How far `uniform` lies from the nearer end of the token's interval, of all the probability after filters; greedy: 1.
  float margin;
};
// One draw from one row of logits.   logits: V floats   uniform in (0, 1)   scratch: kept between calls to save allocations
Sample sample(std::span<const float> logits, const SampleOptions& options, double uniform, std::vector<float>& scratch);
// Sets filtered-out and banned entries of one row to -infinity, after dividing by the temperature.
std::vector<float> filter_logits(std::span<const float> logits, const SampleOptions& options);

}  // namespace sightloop::kernels
