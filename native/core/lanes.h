#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

// 16 floats at a time, as compiler vectors: each clone of a SIGHTLOOP_CPU_CLONES function maps them to the registers of its
// instruction set. Everything here is inlined into such a function.
namespace sightloop::core {

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wpsabi"  // no vector crosses a call that is not inlined; told where templates are filled in
#endif

inline constexpr int64_t kLanes = 16;
using Lanes = float __attribute__((vector_size(64)));
using IntLanes = int32_t __attribute__((vector_size(64)));
using HalfLanes = uint16_t __attribute__((vector_size(32)));

#define SIGHTLOOP_INLINE inline __attribute__((always_inline))

SIGHTLOOP_INLINE Lanes load(const float* from) {
  Lanes x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
SIGHTLOOP_INLINE Lanes load(const c10::BFloat16* from) {
  HalfLanes half;
  std::memcpy(&half, from, sizeof half);
  const IntLanes wide = __builtin_convertvector(half, IntLanes) << 16;
  Lanes x;
  std::memcpy(&x, &wide, sizeof x);
  return x;
}
// The first `count` < 16 values, then `filler`.
template <typename T>
SIGHTLOOP_INLINE Lanes load_part(const T* from, int64_t count, float filler) {
  Lanes x = filler - Lanes{};
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>(from[i]);
  return x;
}
SIGHTLOOP_INLINE void store(float* to, const Lanes& x) { std::memcpy(to, &x, sizeof x); }
SIGHTLOOP_INLINE void store_part(float* to, int64_t count, const Lanes& x) {
  for (int64_t i = 0; i < count; ++i) to[i] = x[i];
}
SIGHTLOOP_INLINE Lanes splat(float x) { return x - Lanes{}; }

SIGHTLOOP_INLINE float sum(const Lanes& x) {
  float total = 0;
  for (int64_t i = 0; i < kLanes; ++i) total += x[i];
  return total;
}
SIGHTLOOP_INLINE float maximum(const Lanes& x) {
  float highest = x[0];
  for (int64_t i = 1; i < kLanes; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

// Of at least one float.
SIGHTLOOP_INLINE float maximum(const float* x, int64_t count) {
  float highest = x[0];
  int64_t i = 0;
  if (count >= kLanes) {
    Lanes wide = load(x);
    for (i = kLanes; i + kLanes <= count; i += kLanes) {
      const Lanes next = load(x + i);
      wide = next > wide ? next : wide;
    }
    highest = maximum(wide);
  }
  for (; i < count; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

// e^x within 2 ulp; 0 below -87.3 (minus infinity included), e^88 above 88. Cephes' expf: reduction by ln 2 in two parts and a
// polynomial of degree 7.
SIGHTLOOP_INLINE Lanes exponential(const Lanes& x) {
  constexpr float kLowest = -87.3F, kHighest = 88.0F,
                  kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const Lanes clamped = x < kLowest ? splat(kLowest) : (x > kHighest ? splat(kHighest) : x);
  const Lanes shifted = clamped * 1.44269504F + kRound, power = shifted - kRound;
  const Lanes r = clamped - power * 0.693359375F + power * 2.12194440e-4F;
  Lanes y = r * 1.9875691500e-4F + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  const IntLanes bits = (__builtin_convertvector(power, IntLanes) + 127) << 23;
  Lanes scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return x < kLowest ? Lanes{} : y * scale;
}

}  // namespace sightloop::core
