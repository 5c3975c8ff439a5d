#pragma once
#include "kernels/device.cuh"

namespace sightloop::kernels::device {

// Rows of one head in a packed tensor [T, K, H], last axis dense.
template <typename T>
struct HeadRows {
  const T* values;
  int64_t row_stride, head_stride;
};

// Puts key, value [R, K, H] into the cache at rows [R]: block * B + position in it; a negative row is not stored. One thread
// an element.   keys [blocks, K, H, B]   values [blocks, K, B, H]   count: R K H
template <typename T>
__global__ void __launch_bounds__(256)
    store_paged_elements(T* keys, T* values, const int64_t* rows, HeadRows<T> key, HeadRows<T> value, int64_t count,
                         int kv_heads, int width, int block_size) {
  const auto index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= count) return;
  const int h = static_cast<int>(index % width), head = static_cast<int>(index / width % kv_heads);
  const auto row = index / width / kv_heads, place = rows[row];
  if (place < 0) return;
  const auto position = place % block_size;
  const auto start = (place / block_size * kv_heads + head) * width * block_size;
  keys[start + h * block_size + position] = key.values[row * key.row_stride + head * key.head_stride + h];
  values[start + position * width + h] = value.values[row * value.row_stride + head * value.head_stride + h];
}

}  // namespace sightloop::kernels::device
