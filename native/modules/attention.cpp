#include <ATen/ATen.h>

#include "core/check.h"
#include "kernels/kernels.h"
#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor Attention::operator()(const at::Tensor& x, const RotaryAngles& angles, int64_t layer,
                                 core::AttentionContext& context) const {
  const auto tokens = x.size(0);
  const auto parts = query_key_value(x, context.samples())
                         .view({tokens, heads + 2 * kv_heads, head_width})
                         .split_with_sizes({heads, kv_heads, kv_heads}, 1);
  const auto query = kernels::rotate(parts[0], angles.cos, angles.sin);  // [T, N, H]
  const auto key = kernels::rotate(parts[1], angles.cos, angles.sin);    // [T, K, H]
  const auto mixed = context.attend(layer, query, key, parts[2]);
  return output(mixed.reshape({tokens, heads * head_width}), context.samples());
}

}  // namespace sightloop::modules
