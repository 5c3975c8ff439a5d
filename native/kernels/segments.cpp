#include "kernels/segments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda.h"

namespace sightloop::kernels {
namespace {

double scale_of(const at::Tensor& query) { return 1.0 / std::sqrt(static_cast<double>(query.size(2))); }

bool has_flash(const at::Tensor& query) { return query.is_cuda() && query.scalar_type() == at::kBFloat16; }

// One segment under the products: [heads, rows, H] float32, every query head with its own copy of keys and values.
struct Products {
  at::Tensor query, key, value;
  at::Tensor weights(const at::Tensor& log_sum, bool causal) const {  // [N, q, k]
    return (scores(causal) - log_sum.unsqueeze(2)).exp();
  }
  at::Tensor scores(bool causal) const {
    const auto all = at::matmul(query, key.transpose(1, 2)).mul_(scale_of(query));
    if (!causal) return all;
    const auto later = at::ones({all.size(1), all.size(2)}, all.options().dtype(at::kBool)).triu(1);
    return all.masked_fill(later, -INFINITY);
  }
};

at::Tensor by_head(const at::Tensor& rows, int64_t begin, int64_t end, int64_t repeats) {
  const auto wide = rows.narrow(0, begin, end - begin).to(at::kFloat).transpose(0, 1);
  return repeats == 1 ? wide : wide.repeat_interleave(repeats, 0);
}

template <typename Visit>
void each_segment(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const Segments& segments,
                  const Visit& visit) {
  const auto repeats = query.size(1) / key.size(1);
  const auto &queries = segments.queries.rows, &keys = segments.keys.rows;
  for (size_t i = 0; i + 1 < queries.size(); ++i) {
    const auto first = queries[i], last = queries[i + 1], begin = keys[i], end = keys[i + 1];
    if (first == last || begin == end) continue;
    visit(Products{.query = by_head(query, first, last, 1),
                   .key = by_head(key, begin, end, repeats),
                   .value = by_head(value, begin, end, repeats)},
          first, begin);
  }
}

SegmentAttention by_products(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             const Segments& segments) {
  SegmentAttention result{
      .output = at::zeros_like(query, at::MemoryFormat::Contiguous),
      .log_sum = at::full({query.size(1), query.size(0)}, -INFINITY, query.options().dtype(at::kFloat))};
  each_segment(query, key, value, segments, [&](const Products& x, int64_t first, int64_t) {
    const auto scores = x.scores(segments.causal);
    const auto rows = scores.size(1);
    result.log_sum.narrow(1, first, rows).copy_(scores.logsumexp(2));
    result.output.narrow(0, first, rows).copy_(at::matmul(scores.softmax(2), x.value).transpose(0, 1));
  });
  return result;
}

SegmentGradient by_products_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                     const at::Tensor& value, const SegmentAttention& result,
                                     const Segments& segments) {
  const auto zeros = [](const at::Tensor& x) { return at::zeros_like(x, at::MemoryFormat::Contiguous); };
  SegmentGradient d{.query = zeros(query), .key = zeros(key), .value = zeros(value)};
  const auto kv_heads = key.size(1);
  each_segment(query, key, value, segments, [&](const Products& x, int64_t first, int64_t begin) {
    const auto rows = x.query.size(1), keys = x.key.size(1), width = x.query.size(2);
    const auto dy = by_head(gradient, first, first + rows, 1);
    const auto p = x.weights(result.log_sum.narrow(1, first, rows), segments.causal);
    const auto shared = (dy * by_head(result.output, first, first + rows, 1)).sum(2, /*keepdim=*/true);  // [N, q, 1]
    const auto dscores = (at::matmul(dy, x.value.transpose(1, 2)) - shared).mul_(p).mul_(scale_of(query));
    const auto put = [&](const at::Tensor& to, const at::Tensor& by_query_head) {  // sums the heads that share one
      const auto summed = by_query_head.view({kv_heads, -1, keys, width}).sum(1);
      to.narrow(0, begin, keys).copy_(summed.transpose(0, 1));
    };
    d.query.narrow(0, first, rows).copy_(at::matmul(dscores, x.key).transpose(0, 1));
    put(d.key, at::matmul(dscores.transpose(1, 2), x.query));
    put(d.value, at::matmul(p.transpose(1, 2), dy));
  });
  return d;
}

SegmentAttention by_flash(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const Segments& segments) {
  const auto &queries = segments.queries, &keys = segments.keys;
  const auto results = at::_flash_attention_forward(query, key, value, queries.sent, keys.sent, queries.longest,
                                                    keys.longest, /*dropout_p=*/0.0, segments.causal,
                                                    /*return_debug_mask=*/false, std::optional(scale_of(query)));
  TORCH_INTERNAL_ASSERT(std::get<1>(results).dim() == 2, "flash attention's log-sums have another layout");
  return {.output = std::get<0>(results), .log_sum = std::get<1>(results)};
}

SegmentGradient by_flash_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const SegmentAttention& result, const Segments& segments) {
  const auto &queries = segments.queries, &keys = segments.keys;
  const auto unused = at::empty({2}, query.options().dtype(at::kLong));  // state of the dropout there is none of
  const auto [dquery, dkey, dvalue] = at::_flash_attention_backward(
      gradient, query, key, value, result.output, result.log_sum, queries.sent, keys.sent, queries.longest,
      keys.longest, /*dropout_p=*/0.0, segments.causal, unused, unused, std::optional(scale_of(query)));
  return {.query = dquery, .key = dkey, .value = dvalue};
}

}  // namespace

void Bounds::send(at::Device device) {
  longest = 2;  // 1 would be another layout of the heads
  for (size_t i = 0; i + 1 < rows.size(); ++i) longest = std::max(longest, rows[i + 1] - rows[i]);
  if (device.is_cuda()) sent = at::tensor(rows, at::kInt).to(device);
}

SegmentAttention attend_segments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const Segments& segments) {
  return has_flash(query) ? by_flash(query, key, value, segments) : by_products(query, key, value, segments);
}

SegmentGradient attend_segments_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                         const at::Tensor& value, const SegmentAttention& result,
                                         const Segments& segments) {
  return has_flash(query) ? by_flash_backward(gradient, query, key, value, result, segments)
                          : by_products_backward(gradient, query, key, value, result, segments);
}

SegmentAttention merge(const SegmentAttention& a, const SegmentAttention& b) {
  if (a.output.is_cuda()) {
    const auto [output, log_sum] = cuda::merge_attention(a.output, a.log_sum.t(), b.output, b.log_sum.t());
    return {.output = output, .log_sum = log_sum.t()};
  }
  const auto log_sum = at::logaddexp(a.log_sum, b.log_sum);  // [N, Tq]
  const auto share = [&](const SegmentAttention& part) {     // [Tq, N, 1]
    return (part.log_sum - log_sum).exp().t().unsqueeze(2);
  };
  const auto output = a.output.to(at::kFloat) * share(a) + b.output.to(at::kFloat) * share(b);
  return {.output = output.to(a.output.scalar_type()), .log_sum = log_sum};
}

}  // namespace sightloop::kernels
