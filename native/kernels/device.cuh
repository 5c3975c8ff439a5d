#pragma once
#include <c10/util/BFloat16.h>

#include <cmath>
#include <cstdint>

// What every kernel is written with. nvcc compiles it for the device; the tests compile it as plain C++ against
// test/native/emulation/cuda.h, which must then come first. Kernels use dynamic shared memory only.
#ifdef __CUDACC__
#include <cuda_runtime.h>
#define SIGHTLOOP_UNROLL _Pragma("unroll")
#elif !defined(SIGHTLOOP_CUDA_EMULATION)
#error "a kernel is compiled by nvcc, or after emulation/cuda.h"
#else
#define SIGHTLOOP_UNROLL
#endif

namespace sightloop::kernels::device {

#ifdef __CUDACC__
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char bytes[];
  return bytes;
}
__device__ inline void check_aligned(const void*, size_t) {}
#else
using emulation::check_aligned, emulation::shared_memory;
#endif

constexpr unsigned kAllLanes = 0xffffffffU;
constexpr float kMinusInfinity = -INFINITY;

template <typename T>
constexpr int kVector = 16 / sizeof(T);  // elements of a 128-bit access

// N neighbouring elements that move as one access; the address must be a multiple of their size.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T values[N];
  __device__ float operator[](int i) const { return static_cast<float>(values[i]); }
};
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load(const T* from) {
  check_aligned(from, sizeof(Pack<T, N>));
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, typename T>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
  check_aligned(to, sizeof(Pack<T, N>));
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

template <typename T>
__device__ __forceinline__ T larger(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
__host__ __device__ constexpr T smaller(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
__host__ __device__ constexpr T divide_up(T a, T b) {
  return (a + b - 1) / b;
}

struct Add {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }  // passes over NaN
};

// Of all lanes of a warp, in one order; every lane gets the same bits.
template <typename T, typename Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
  SIGHTLOOP_UNROLL
  for (int offset = 16; offset > 0; offset /= 2) value = op(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// Of all threads of a block of whole warps, in one order.   shared: room for 32 values, free again when this returns
template <typename T, typename Op>
__device__ __forceinline__ T block_reduce(T value, Op op, T* shared) {
  value = warp_reduce(value, op);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) value = op(value, shared[warp]);
  __syncthreads();
  return value;
}

}  // namespace sightloop::kernels::device
