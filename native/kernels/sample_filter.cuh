#pragma once
#include "kernels/sample_row.cuh"

// top-k and top-p of a row without sorting it: the boundary is found two bits at a time from the top, each time summing how
// much lies below three candidates. 16 reads of the row, which stays in the L2 cache. (A histogram by shared atomics would
// read it 4 times, but most logits share their upper bits, and sums of floats by atomics have no order.)
namespace sightloop::kernels::device {

// Maps floats to integers of the same order; -0 and 0 to the same.
__device__ __forceinline__ uint32_t order_key(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ __forceinline__ float from_order_key(uint32_t key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

struct Boundary {
  float value;   // the highest whose measure of all that lies below it is at most `limit`; not above `highest`
  double below;  // that measure
};

// measure(token, x) >= 0
template <int N, typename Measure>
__device__ inline Boundary find_boundary(const SampleRow& row, float highest, double limit, unsigned char* shared,
                                         const Measure& measure) {
  const uint32_t top = order_key(highest);
  uint32_t key = 0;
  double below = 0;
  for (int shift = 30; shift >= 0; shift -= 2) {
    double sums[3];
    sum_tokens<N>(row, sums, shared, [&](int token, float x, double(&to)[3]) {
      const uint32_t own = order_key(x);
      const double size = measure(token, x);
      SIGHTLOOP_UNROLL
      for (uint32_t i = 0; i < 3; ++i)
        if (own < key + ((i + 1) << shift)) to[i] += size;
    });
    const uint32_t base = key;
    for (uint32_t i = 0; i < 3; ++i) {
      const uint32_t candidate = base + ((i + 1) << shift);
      if (candidate <= top && sums[i] <= limit) key = candidate, below = sums[i];
    }
  }
  return {.value = from_order_key(key), .below = below};
}

// Keeps ties with the k-th best token.
template <int N>
__device__ inline void keep_top_k(SampleRow& row, int k, float highest, unsigned char* shared) {
  if (k <= 0 || k >= row.count) return;
  row.floor = find_boundary<N>(row, highest, row.count - k, shared, [](int, float) { return 1.0; }).value;
}

// Drops the least likely tokens whose probabilities sum to at most 1 - p, of equal ones those of lower index first; the best
// token always stays.   weight(token, x): 0 for tokens already dropped
template <int N, typename Weight>
__device__ inline void keep_top_p(SampleRow& row, float p, float highest, unsigned char* shared, const Weight& weight) {
  if (p >= 1) return;
  double total[1], ties[1];
  sum_tokens<N>(row, total, shared, [&](int token, float x, double(&to)[1]) { to[0] += weight(token, x); });
  const double limit = (1 - static_cast<double>(p)) * total[0];
  const auto boundary = find_boundary<N>(row, highest, limit, shared, weight);
  sum_tokens<N>(row, ties, shared, [&](int, float x, double(&to)[1]) { to[0] += x == boundary.value ? 1 : 0; });
  const double each = expf(boundary.value - highest);
  double dropped = floor((limit - boundary.below) / each);
  dropped = dropped < ties[0] - 1 ? dropped : ties[0] - 1;
  const int cut = dropped < 1 ? 0
                              : 1 + invert<N>(
                                        row, shared, [&](int, float x) { return x == boundary.value ? 1.0 : 0.0; },
                                        [&](double) { return dropped; })
                                        .token;
  row.floor = boundary.value;
  row.cut = cut;
}

}  // namespace sightloop::kernels::device
