#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

// Attention between segments of packed rows, with what its gradient needs: libtorch's flash attention for bfloat16 on CUDA,
// matrix products otherwise. Tq, Tk rows, N query heads, K key/value heads, H head width.
namespace sightloop::kernels {

// Segment i is rows [queries[i], queries[i + 1]) of the queries and [keys[i], keys[i + 1]) of keys and values.
struct Segments {
  std::vector<int64_t> queries{0}, keys{0};
  bool causal;

  void add(int64_t query_rows, int64_t key_rows) {
    queries.push_back(queries.back() + query_rows);
    keys.push_back(keys.back() + key_rows);
  }
};

// Of one attention, or of several merged into one.
struct SegmentAttention {
  at::Tensor output;   // [Tq, N, H], dtype of the queries
  at::Tensor log_sum;  // [N, Tq] float32, log-sum-exp of the scaled scores; minus infinity: sees nothing
};
SegmentAttention attend_segments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const Segments& segments);

struct SegmentGradient {
  at::Tensor query, key, value;
};
// `result`: with the output and log_sum of all that the queries see, of which these segments may be a part: the gradients are
// that part's (arXiv:2205.14135, appendix B.2).
SegmentGradient attend_segments_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                         const at::Tensor& value, const SegmentAttention& result,
                                         const Segments& segments);

// What queries that see both parts get.
SegmentAttention merge(const SegmentAttention& a, const SegmentAttention& b);

}  // namespace sightloop::kernels
