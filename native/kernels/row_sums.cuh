#pragma once
#include "kernels/device.cuh"

// Log-sum-exp and mean of a row of logits, read once. The LM head and the sampler both use it, so that they add in one order.
namespace sightloop::kernels::device {

// Of some terms x: the highest, the sum of w = e^(x - highest), and that of w (x - highest).
struct RunningSums {
  float highest = kMinusInfinity, weight = 0, moment = 0;

  template <int N>
  __device__ __forceinline__ void add(const float (&x)[N]) {
    float top = x[0];
    SIGHTLOOP_UNROLL
    for (int j = 1; j < N; ++j) top = fmaxf(top, x[j]);
    if (top > highest) {
      if (weight > 0) {
        const float shift = highest - top, shrink = expf(shift);
        moment = shrink * (moment + shift * weight);
        weight *= shrink;
      }
      highest = top;
    }
    const float reference = highest > kMinusInfinity ? highest : 0;
    SIGHTLOOP_UNROLL
    for (int j = 0; j < N; ++j) {
      const float term = expf(x[j] - reference);
      weight += term;
      if (term > 0) moment += term * (x[j] - reference);
    }
  }
};

struct RowSums {
  double log_sum, mean;  // of the whole row; neither is finite if a term is NaN or +infinity, or all are -infinity
};

// Joins what the threads of a block have summed.   shared: 256 bytes
__device__ inline RowSums join(const RunningSums& own, unsigned char* shared) {
  const float highest = block_reduce(own.highest, Max(), reinterpret_cast<float*>(shared));
  const double shift = static_cast<double>(own.highest) - highest;
  const double shrink = own.highest > kMinusInfinity ? exp(shift) : 1;  // a weight beside -infinity is 0 or NaN
  const double moment = own.highest > kMinusInfinity ? shrink * (own.moment + shift * own.weight) : 0;
  auto* sums = reinterpret_cast<double*>(shared);
  const double weight = block_reduce(shrink * own.weight, Add(), sums), total = block_reduce(moment, Add(), sums);
  return {.log_sum = highest + log(weight), .mean = highest + total / weight};
}

// use(i, x) for this thread's share of a row, N terms at a time: x[j] = row[i + j] * scale. N divides `count`.
template <int N, typename T, typename Use>
__device__ __forceinline__ void each_pack(const T* row, int count, float scale, const Use& use) {
  for (int i = static_cast<int>(threadIdx.x) * N; i < count; i += static_cast<int>(blockDim.x) * N) {
    const auto pack = load<N>(row + i);
    float x[N];
    SIGHTLOOP_UNROLL
    for (int j = 0; j < N; ++j) x[j] = pack[j] * scale;
    use(i, x);
  }
}

}  // namespace sightloop::kernels::device
