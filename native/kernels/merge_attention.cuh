#pragma once
#include "kernels/device.cuh"

namespace sightloop::kernels::device {

// Attention over the union of two sets of columns, from each set's attention and log-sum-exp; minus infinity: an empty set.
// One thread takes V elements of a head.
//   a, b, out [T, N, H] contiguous   log_a, log_b [T, N] with those strides   log_sum [T, N] contiguous   count: T N H / V
struct LogSums {
  const float* values;
  int64_t row_stride, head_stride;
  __device__ float at(int64_t row, int64_t head) const { return values[row * row_stride + head * head_stride]; }
};

template <typename T, int V>
__global__ void __launch_bounds__(256) merge_parts(const T* a, LogSums log_a, const T* b, LogSums log_b, T* out,
                                                   float* log_sum, int64_t count, int heads, int width) {
  const auto index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= count) return;
  const auto place = index / (width / V), row = place / heads, head = place % heads;
  const float first = log_a.at(row, head), second = log_b.at(row, head), highest = larger(first, second);
  const bool sees = highest > kMinusInfinity;
  const float weight_a = sees ? expf(first - highest) : 0, weight_b = sees ? expf(second - highest) : 0;
  const float total = sees ? weight_a + weight_b : 1;
  const auto values_a = load<V>(a + index * V), values_b = load<V>(b + index * V);
  Pack<T, V> result;
  for (int j = 0; j < V; ++j) {
    // An empty set's values may be anything, NaN too.
    const float part_a = weight_a > 0 ? weight_a * values_a[j] : 0, part_b = weight_b > 0 ? weight_b * values_b[j] : 0;
    result.values[j] = static_cast<T>((part_a + part_b) / total);
  }
  store<V>(out + index * V, result);
  if (index % (width / V) == 0) log_sum[place] = sees ? highest + logf(total) : kMinusInfinity;
}

}  // namespace sightloop::kernels::device
