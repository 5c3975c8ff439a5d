#include <ATen/ATen.h>

#include "kernels/kernels.h"
#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor GatedMlp::operator()(const at::Tensor& x, bool sampling) const {
  return down(kernels::swiglu(gate_up(x, sampling)), sampling);
}

at::Tensor Mlp::operator()(const at::Tensor& x, bool sampling) const {
  return down(kernels::quick_gelu(up(x, sampling)), sampling);
}

template <typename Norm, typename FeedForward>
at::Tensor PreNormBlock<Norm, FeedForward>::operator()(const at::Tensor& x, const RotaryAngles& angles, int64_t layer,
                                                       core::AttentionContext& context) const {
  const auto [attended, normed] = mlp_norm.of_sum(x, attention(attention_norm(x), angles, layer, context));
  return attended + mlp(normed, context.samples());
}
template struct PreNormBlock<RmsNorm, GatedMlp>;
template struct PreNormBlock<LayerNorm, Mlp>;

}  // namespace sightloop::modules
