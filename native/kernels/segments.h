#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

// Attention between segments of packed rows, with what its gradient needs: libtorch's flash attention for bfloat16 on CUDA,
// matrix products otherwise. Tq, Tk rows, N query heads, K key/value heads, H head width.
namespace sightloop::kernels {

// Where segments of packed rows begin: segment i is rows [rows[i], rows[i + 1]).
struct Bounds {
  std::vector<int64_t> rows{0};
  // As the flash kernels read it: int32, on the device; undefined where nothing does.
  at::Tensor sent;
  int64_t longest = 0;

  void add(int64_t count) { rows.push_back(rows.back() + count); }
  void send(at::Device device);
};

// Segment i of the queries sees segment i of keys and values.
struct Segments {
  Bounds queries, keys;
  bool causal;

  void add(int64_t query_rows, int64_t key_rows) {
    queries.add(query_rows);
    keys.add(key_rows);
  }
  // Once, after the last `add` and before they are attended to on this device.
  void send(at::Device device) {
    queries.send(device);
    keys.send(device);
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
