#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/attention_context.h"
#include "core/parameter.h"
#include "kernels/kernels.h"
#include "kernels/low_rank.h"

// Building blocks of the model families. A module holds handles to tensors that the ParameterRegistry owns.
// T tokens, D model width, N query heads, K key/value heads, H head width, F feed-forward width.
namespace sightloop::modules {

// Outputs [begin, begin + rows) of a linear are the checkpoint's projection `name`.
struct Projection {
  std::string name;
  int64_t begin, rows;
};

// The only place where a weight multiplies activations.
struct Linear {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out] or undefined
  std::vector<Projection> projections;
  std::shared_ptr<kernels::LowRank> low_rank;  // what is trained beside a frozen weight; null: nothing
  // Weight and low-rank addition as one, once more, while there is one: used for few rows when sampling.
  kernels::PackedWeight packed;
  kernels::Products products = kernels::Products::fastest;  // of a linear without low_rank

  at::Tensor operator()(const at::Tensor& x, bool sampling = false) const;
  void pack();  // float32 only
  void unpack() { packed = {}; }
};

// Several projections of the same input as one: names[i] has rows[i] outputs. The checkpoint holds `<name>.weight`
// and, with_bias, `<name>.bias`.
Linear create_linear(core::ParameterRegistry& registry, core::Part part, const std::vector<std::string>& names,
                     const std::vector<int64_t>& rows, int64_t inputs, bool with_bias);

struct RmsNorm {
  at::Tensor weight;  // [D]
  double epsilon;

  at::Tensor operator()(const at::Tensor& x) const;
  // x + residual, and the norm of it.
  kernels::AddedNorm of_sum(const at::Tensor& x, const at::Tensor& residual) const;
};
RmsNorm create_rms_norm(core::ParameterRegistry& registry, core::Part part, const std::string& name, int64_t width,
                        double epsilon);

struct LayerNorm {
  at::Tensor weight, bias;  // [D]
  double epsilon;

  at::Tensor operator()(const at::Tensor& x) const;
  kernels::AddedNorm of_sum(const at::Tensor& x, const at::Tensor& residual) const;
};
LayerNorm create_layer_norm(core::ParameterRegistry& registry, core::Part part, const std::string& name, int64_t width,
                            double epsilon);

// Angles of rotary embeddings, per token.
struct RotaryAngles {
  at::Tensor cos, sin;  // [T, H/2] float32
};
// Frequencies theta^(-2i/H), i = 0 .. H/2 - 1.   returns [H/2] float32
at::Tensor rotary_frequencies(int64_t head_width, double theta);
// Multimodal rotary positions: frequency i takes the position of the axis (t, h, w) whose section holds i.
// Source: arXiv:2409.12191 section 2.1.
struct RotaryTable {
  at::Tensor frequencies;  // [H/2] float32
  at::Tensor axes;         // [H/2] int64
};
//   sections: lengths that sum to H/2
RotaryTable rotary_table(int64_t head_width, double theta, std::span<const int64_t> sections, at::Device device);
//   positions [3, T] int64
RotaryAngles multimodal_rotary(const at::Tensor& positions, const RotaryTable& table);

// Grouped-query self-attention with rotary positions, without the residual. Source: arXiv:2305.13245.
struct Attention {
  Linear query_key_value;  // [(N + 2K) H, D]
  Linear output;           // [D, N H]
  int64_t heads, kv_heads, head_width;

  //   x [T, D]   returns [T, D]
  at::Tensor operator()(const at::Tensor& x, const RotaryAngles& angles, int64_t layer,
                        core::AttentionContext& context) const;
};

// Gated feed-forward, silu. Source: arXiv:2002.05202.
struct GatedMlp {
  Linear gate_up;  // [2F, D]
  Linear down;     // [D, F]

  at::Tensor operator()(const at::Tensor& x, bool sampling) const;
};

// Feed-forward with one activation, quick_gelu.
struct Mlp {
  Linear up;    // [F, D]
  Linear down;  // [D, F]

  at::Tensor operator()(const at::Tensor& x, bool sampling) const;
};

// Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)).
template <typename Norm, typename FeedForward>
struct PreNormBlock {
  Norm attention_norm;
  Attention attention;
  Norm mlp_norm;
  FeedForward mlp;

  at::Tensor operator()(const at::Tensor& x, const RotaryAngles& angles, int64_t layer,
                        core::AttentionContext& context) const;
};
using Block = PreNormBlock<RmsNorm, GatedMlp>;
using LayerNormBlock = PreNormBlock<LayerNorm, Mlp>;

// Weights of a model's blocks that are there only while a block needs them.
class BlockWeights {
 public:
  enum class Direction : uint8_t { forward, backward };
  virtual ~BlockWeights() = default;
  // They are there until `let_go`. The passes go through the blocks in order.
  virtual void hold(int64_t block, Direction direction) = 0;
  virtual void let_go(int64_t block) = 0;
};

// How blocks are run for a backward pass to come.
struct BlockOptions {
  bool checkpointing = false;
  BlockWeights* weights = nullptr;  // with checkpointing only
};

using Computation = std::function<at::Tensor(const at::Tensor& x)>;
// run(x); of its activations only x is kept, the others are computed again in backward (arXiv:1604.06174). `run` keeps what
// it needs alive: it is called once more, in backward.   block: whose weights are held while it computes, unless null
struct HeldBlock {
  BlockWeights* weights = nullptr;
  int64_t block = 0;
};
at::Tensor checkpoint(const at::Tensor& x, Computation run, HeldBlock block);

// One block, checkpointed or not. The block must outlive the backward pass.
template <typename Norm, typename FeedForward>
at::Tensor run_block(const PreNormBlock<Norm, FeedForward>& block, const at::Tensor& x, const RotaryAngles& angles,
                     int64_t layer, const std::shared_ptr<core::AttentionContext>& context,
                     const BlockOptions& options) {
  if (!options.checkpointing) return block(x, angles, layer, *context);
  return checkpoint(
      x, [&block, angles, layer, context](const at::Tensor& input) { return block(input, angles, layer, *context); },
      {.weights = options.weights, .block = layer});
}

}  // namespace sightloop::modules
