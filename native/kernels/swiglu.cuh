#pragma once
#include "kernels/device.cuh"

// silu(gate) * up.   gate_up [T, 2F]: gate, then up   F is a multiple of N. One thread an access of N elements.
namespace sightloop::kernels::device {

__device__ __forceinline__ float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

//   count: T F / N   y [T, F]
template <typename T, int N>
__global__ void __launch_bounds__(256) swiglu_forward(const T* gate_up, T* y, int64_t count, int width) {
  const auto index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= count) return;
  const auto row = index / (width / N), at = row * 2 * width + index % (width / N) * N;
  const auto gate = load<N>(gate_up + at), up = load<N>(gate_up + at + width);
  Pack<T, N> result;
  for (int j = 0; j < N; ++j) result.values[j] = static_cast<T>(gate[j] * sigmoid(gate[j]) * up[j]);
  store<N>(y + index * N, result);
}

// d gate = dy up s (1 + gate (1 - s)),  d up = dy gate s,  s = sigmoid(gate).   dy [T, F]   d [T, 2F]
template <typename T, int N>
__global__ void __launch_bounds__(256) swiglu_gradient(const T* gate_up, const T* dy, T* d, int64_t count, int width) {
  const auto index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= count) return;
  const auto row = index / (width / N), at = row * 2 * width + index % (width / N) * N;
  const auto gate = load<N>(gate_up + at), up = load<N>(gate_up + at + width), gradient = load<N>(dy + index * N);
  Pack<T, N> dgate, dup;
  for (int j = 0; j < N; ++j) {
    const float s = sigmoid(gate[j]);
    dgate.values[j] = static_cast<T>(gradient[j] * up[j] * s * (1.0F + gate[j] * (1.0F - s)));
    dup.values[j] = static_cast<T>(gradient[j] * gate[j] * s);
  }
  store<N>(d + at, dgate);
  store<N>(d + at + width, dup);
}

}  // namespace sightloop::kernels::device
