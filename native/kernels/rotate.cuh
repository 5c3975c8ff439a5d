#pragma once
#include "kernels/device.cuh"

namespace sightloop::kernels::device {

// Rotates pairs (i, i + H/2) of x [T, N, H], whose rows and heads start every `row_stride` and `head_stride` elements; `sign`
// -1 rotates back. One thread takes V neighbouring pairs, so H/2 is a multiple of V.
//   cos, sin [T, H/2] float32   y [T, N, H] contiguous   count: T N H / 2 / V
template <typename T, int V>
__global__ void __launch_bounds__(256)
    rotate_pairs(const T* x, const float* cos, const float* sin, T* y, int64_t count, int heads, int half,
                 int64_t row_stride, int64_t head_stride, float sign) {
  const auto index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= count) return;
  const int packs = half / V, pair = static_cast<int>(index % packs) * V;
  const auto place = index / packs, row = place / heads, head = place % heads;
  const T* from = x + row * row_stride + head * head_stride + pair;
  const auto low = load<V>(from), high = load<V>(from + half);
  Pack<T, V> out_low, out_high;
  for (int j = 0; j < V; ++j) {
    const float c = cos[row * half + pair + j], s = sign * sin[row * half + pair + j];
    out_low.values[j] = static_cast<T>(low[j] * c - high[j] * s);
    out_high.values[j] = static_cast<T>(high[j] * c + low[j] * s);
  }
  T* to = y + place * 2 * half + pair;
  store<V>(to, out_low);
  store<V>(to + half, out_high);
}

}  // namespace sightloop::kernels::device
