#pragma once
#include "kernels/device.cuh"

// T rows, D width. N elements move at once: rows start at multiples of that.
namespace sightloop::kernels::device {

constexpr int kNormRows =
    16;  // rows of one block of the backward kernel: what is summed together depends on T and D only

// One block a row of x [T, D]: y = x / sqrt(mean(x^2) + epsilon) * weight. The scaled row is rounded before the product
// with the weight, as the reference does. Reads x twice, the second time from the cache.
//   residual: added to x first; the sum, rounded, goes to `sum` and is what is normalised. May be null.
//   inverse [T] 1 / sqrt(mean + epsilon), may be null   shared: 128 bytes
template <typename T, int N>
__global__ void __launch_bounds__(512) rms_norm_rows(const T* x, const T* residual, const T* weight, T* sum, T* y,
                                                     float* inverse, int width, float epsilon) {
  const auto row = static_cast<int64_t>(blockIdx.x) * width;
  const int first = static_cast<int>(threadIdx.x) * N, step = static_cast<int>(blockDim.x) * N;
  const T* input = residual == nullptr ? x + row : sum + row;
  float squares = 0;
  for (int i = first; i < width; i += step) {
    auto values = load<N>(x + row + i);
    if (residual != nullptr) {
      const auto other = load<N>(residual + row + i);
      for (int j = 0; j < N; ++j) values.values[j] = static_cast<T>(values[j] + other[j]);
      store<N>(sum + row + i, values);
    }
    for (int j = 0; j < N; ++j) squares += values[j] * values[j];
  }
  squares = block_reduce(squares, Add(), reinterpret_cast<float*>(shared_memory()));
  const float scale = rsqrtf(squares / static_cast<float>(width) + epsilon);
  if (inverse != nullptr && threadIdx.x == 0) inverse[blockIdx.x] = scale;
  for (int i = first; i < width; i += step) {
    auto values = load<N>(input + i);
    const auto weights = load<N>(weight + i);
    for (int j = 0; j < N; ++j)
      values.values[j] = static_cast<T>(static_cast<float>(static_cast<T>(values[j] * scale)) * weights[j]);
    store<N>(y + row + i, values);
  }
}

// dx = s (g - x s^2 mean(g x)),  g = dy weight,  s = inverse.   Block b takes kNormRows rows and writes the sum of dy x s over
// them to partial[b, D] float32. Columns stand in shared memory apart, so that neighbouring threads meet no bank twice.
//   shared: (D + 32) floats
template <typename T, int N>
__global__ void __launch_bounds__(512)
    rms_norm_backward_rows(const T* dy, const T* x, const T* weight, const float* inverse, T* dx, float* partial,
                           int rows, int width) {
  auto* sums = reinterpret_cast<float*>(shared_memory());
  auto* reduced = sums + width;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), packs = width / N;
  for (int i = thread; i < packs; i += threads)
    for (int j = 0; j < N; ++j) sums[j * packs + i] = 0;
  const int begin = static_cast<int>(blockIdx.x) * kNormRows, end = smaller(begin + kNormRows, rows);
  for (int row = begin; row < end; ++row) {
    const auto at = static_cast<int64_t>(row) * width;
    const float scale = inverse[row];
    float dot = 0;
    for (int i = thread; i < packs; i += threads) {
      const auto d = load<N>(dy + at + i * N), values = load<N>(x + at + i * N), weights = load<N>(weight + i * N);
      for (int j = 0; j < N; ++j) {
        const float product = d[j] * values[j];
        sums[j * packs + i] += product * scale;
        dot += product * weights[j];
      }
    }
    dot = block_reduce(dot, Add(), reduced);
    const float shrink = dot * scale * scale / static_cast<float>(width);
    for (int i = thread; i < packs; i += threads) {
      const auto d = load<N>(dy + at + i * N), values = load<N>(x + at + i * N), weights = load<N>(weight + i * N);
      Pack<T, N> result;
      for (int j = 0; j < N; ++j) result.values[j] = static_cast<T>(scale * (d[j] * weights[j] - values[j] * shrink));
      store<N>(dx + at + i * N, result);
    }
  }
  for (int i = thread; i < packs; i += threads)
    for (int j = 0; j < N; ++j) partial[static_cast<int64_t>(blockIdx.x) * width + i * N + j] = sums[j * packs + i];
}

// out[c] = sum over rows of partial[r, c], in one order.   Blocks of 256 threads take 32 columns   shared: 1 KiB
template <typename T>
__global__ void __launch_bounds__(256) sum_columns(const float* partial, T* out, int rows, int width) {
  auto* sums = reinterpret_cast<float*>(shared_memory());
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int column = static_cast<int>(blockIdx.x) * 32 + lane;
  float sum = 0;
  if (column < width)
    for (int row = warp; row < rows; row += 8) sum += partial[static_cast<int64_t>(row) * width + column];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || column >= width) return;
  for (int other = 1; other < 8; ++other) sum += sums[other * 32 + lane];
  out[column] = static_cast<T>(sum);
}

}  // namespace sightloop::kernels::device
