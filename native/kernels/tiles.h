#pragma once
#include <algorithm>
#include <cstdint>

#include "core/lanes.h"

// Products of small float32 matrices out of registers: C [rows, columns] = start + A [rows, depth] B [depth, columns].
// Only for functions that are compiled for each instruction set (SIGHTLOOP_CPU_CLONES). Every element of C is summed in the
// order of `depth`, whatever its neighbours: a row's result does not depend on the other rows.
namespace sightloop::kernels {

// 12 x 2 sums fill the 32 registers of AVX-512, 3 x 2 (of two registers each) the 16 of AVX2.
inline constexpr int64_t kWideRows = 12, kNarrowRows = 3;
inline constexpr int64_t kFewWideRows = 4;  // where there are seldom more: 4 x 2 sums hide the latency of adding

inline bool has_wide_registers() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") != 0;
#else
  return true;
#endif
}

// T: float, or bfloat16 that is widened on the way.
template <typename T>
struct ProductOf {
  const float* a;
  int64_t a_row, a_step;  // from one row, and from one step of the depth, to the next
  const T* b;
  int64_t b_step;
  float* c;
  int64_t c_row;
  const float*
      start;  // what C begins with: `c` itself to add to it, one row for all with start_row 0, or null for zeros
  int64_t start_row;
  int64_t depth;

  SIGHTLOOP_INLINE void next_rows(int64_t count) {
    a += count * a_row;
    c += count * c_row;
    if (start != nullptr) start += count * start_row;
  }
  SIGHTLOOP_INLINE void next_columns(int64_t count) {
    b += count;
    c += count;
    if (start != nullptr) start += count;
  }
};
using Product = ProductOf<float>;

template <int64_t R, int64_t L, typename T>
SIGHTLOOP_INLINE void multiply_tile(const ProductOf<T>& p) {
  using core::kLanes;
  core::Lanes sums[R][L];
  for (int64_t r = 0; r < R; ++r)
    for (int64_t l = 0; l < L; ++l)
      sums[r][l] = p.start == nullptr ? core::Lanes{} : core::load(p.start + r * p.start_row + l * kLanes);
  const auto* a = p.a;
  const auto* b = p.b;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_step, b += p.b_step) {
    core::Lanes column[L];
    for (int64_t l = 0; l < L; ++l) column[l] = core::load(b + l * kLanes);
    for (int64_t r = 0; r < R; ++r)
      for (int64_t l = 0; l < L; ++l) sums[r][l] += a[r * p.a_row] * column[l];
  }
  for (int64_t r = 0; r < R; ++r)
    for (int64_t l = 0; l < L; ++l) core::store(p.c + r * p.c_row + l * kLanes, sums[r][l]);
}

template <int64_t R, int64_t L, typename T = float>
SIGHTLOOP_INLINE void multiply_rows(ProductOf<T> p, int64_t rows) {
  constexpr int64_t kFew = R < 4 ? R : 4;
  for (; rows >= R; rows -= R, p.next_rows(R)) multiply_tile<R, L>(p);
  if constexpr (kFew < R)
    for (; rows >= kFew; rows -= kFew, p.next_rows(kFew)) multiply_tile<kFew, L>(p);
  for (; rows > 0; --rows, p.next_rows(1)) multiply_tile<1, L>(p);
}

// Fewer columns than a vector holds.
template <typename T>
SIGHTLOOP_INLINE void multiply_part(ProductOf<T> p, int64_t rows, int64_t columns) {
  for (; rows > 0; --rows, p.next_rows(1)) {
    core::Lanes sums = p.start == nullptr ? core::Lanes{} : core::load_part(p.start, columns, 0);
    for (int64_t k = 0; k < p.depth; ++k) sums += p.a[k * p.a_step] * core::load_part(p.b + k * p.b_step, columns, 0);
    core::store_part(p.c, columns, sums);
  }
}

template <int64_t R, typename T = float>
SIGHTLOOP_INLINE void multiply(ProductOf<T> p, int64_t rows, int64_t columns) {
  using core::kLanes;
  for (; columns >= 2 * kLanes; columns -= 2 * kLanes, p.next_columns(2 * kLanes)) multiply_rows<R, 2>(p, rows);
  if (columns >= kLanes) {
    multiply_rows<R, 1>(p, rows);
    columns -= kLanes;
    p.next_columns(kLanes);
  }
  if (columns > 0) multiply_part(p, rows, columns);
}

}  // namespace sightloop::kernels
