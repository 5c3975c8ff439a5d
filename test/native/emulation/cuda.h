#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>

// CUDA's execution model on one CPU thread, so that a kernel written for the device runs as plain C++: each CUDA thread is a
// fiber that runs until it has to wait for others, and each warp as far as it can before the next, in an order that changes,
// so that a missing barrier is seen as a wrong result. Errors of the model are thrown as std::runtime_error by `emulate`: a
// barrier that only some threads reach, or at two places; a warp operation whose mask names lanes that never come; shared memory
// written past its end; an access that is not aligned to its size. Shared memory starts as NaN.
// It says nothing about speed, memory coalescing, bank conflicts, or what ptxas makes of the code.
#define SIGHTLOOP_CUDA_EMULATION
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

unsigned char* shared_memory();
void check_aligned(const void* address, size_t bytes);
void launch(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);
// Waits for the lanes of `mask` in this warp; returns what each of the 32 gave.
const uint64_t* exchange(unsigned mask, uint64_t given);
void wait_for_block(const std::source_location& where);

// kernel<<<grid, block, shared_bytes>>>(args...)
template <typename... Parameters, typename... Arguments>
void emulate(dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), const Arguments&... args) {
  launch(grid, block, shared_bytes, [&] { kernel(static_cast<Parameters>(args)...); });
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned lane) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  std::memcpy(&value, exchange(mask, bits) + lane % 32, sizeof value);
  return value;
}

}  // namespace emulation

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  emulation::wait_for_block(where);
}
inline void __syncwarp(unsigned mask = ~0U) { emulation::exchange(mask, 0); }
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return emulation::shuffle(mask, value, threadIdx.x % 32 ^ static_cast<unsigned>(lanes));
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return emulation::shuffle(mask, value, static_cast<unsigned>(lane));
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const auto* given = emulation::exchange(mask, predicate != 0);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane) ballot |= (mask >> lane & 1) != 0 && given[lane] != 0 ? 1U << lane : 0;
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

template <typename T>
T atomicOr(T* place, T value) {
  const T old = *place;
  *place |= value;
  return old;
}

inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
