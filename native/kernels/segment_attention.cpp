#include <ATen/ATen.h>

#include <map>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// [count * length, N, H] -> [count, length, N, H] -> attention, at least in float32 -> [count * length, N, H]
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t count,
                  int64_t length, bool causal) {
  const auto wide = at::promote_types(query.scalar_type(), at::kFloat);
  const auto heads_first = [&](const at::Tensor& x) {
    return x.view({count, length, x.size(1), x.size(2)}).transpose(1, 2).to(wide);
  };
  return at::scaled_dot_product_attention(heads_first(query), heads_first(key), heads_first(value),
                                          /*attn_mask=*/{}, /*dropout_p=*/0.0, causal, /*scale=*/std::nullopt,
                                          /*enable_gqa=*/query.size(1) != key.size(1))
      .transpose(1, 2)
      .reshape({count * length, query.size(1), query.size(2)})
      .to(query.scalar_type());
}

}  // namespace

at::Tensor segment_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::span<const int64_t> boundaries, bool causal) {
  TORCH_CHECK(boundaries.size() >= 2 && boundaries.front() == 0 && boundaries.back() == query.size(0),
              "segment_attention: boundaries must run from 0 to ", query.size(0));
  core::check_shape(key, {query.size(0), -1, query.size(2)}, "segment_attention.key");
  core::check_shape(value, key.sizes(), "segment_attention.value");

  std::map<int64_t, std::vector<int64_t>> starts_by_length;
  for (size_t i = 0; i + 1 < boundaries.size(); ++i)
    if (const auto length = boundaries[i + 1] - boundaries[i]; length > 0)
      starts_by_length[length].push_back(boundaries[i]);
  if (starts_by_length.size() == 1) {
    const auto& [length, starts] = *starts_by_length.begin();
    return attend(query.contiguous(), key.contiguous(), value.contiguous(), static_cast<int64_t>(starts.size()), length,
                  causal);
  }

  std::vector<at::Tensor> parts, rows;
  for (const auto& [length, starts] : starts_by_length) {
    const auto count = static_cast<int64_t>(starts.size());
    const auto index = (at::tensor(starts, at::kLong).unsqueeze(1) + at::arange(length)).flatten().to(query.device());
    parts.push_back(attend(query.index_select(0, index), key.index_select(0, index), value.index_select(0, index),
                           count, length, causal));
    rows.push_back(index);
  }
  // Row i of the result is row position[i] of the parts laid end to end.
  const auto order = at::cat(rows);
  const auto position = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), order.options()));
  return at::cat(parts).index_select(0, position);
}

}  // namespace sightloop::kernels
