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

inline bool has_wide_registers() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") != 0;
#else
  return true;
#endif
}

struct Product {
  const float* a;
  int64_t a_row, a_step;  // from one row, and from one step of the depth, to the next
  const float* b;
  int64_t b_step;
  float* c;
  int64_t c_row;
  const float*
      start;  // what C begins with: `c` itself to add to it, one row for all with start_row 0, or null for zeros
  int64_t start_row;
  int64_t depth;
};

template <int64_t R, int64_t L>
SIGHTLOOP_INLINE void multiply_tile(const Product& p) {
  using core::kLanes;
  core::Lanes sums[R][L];
  for (int64_t r = 0; r < R; ++r)
    for (int64_t l = 0; l < L; ++l)
      sums[r][l] = p.start == nullptr ? core::Lanes{} : core::load(p.start + r * p.start_row + l * kLanes);
  const auto *a = p.a, *b = p.b;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_step, b += p.b_step) {
    core::Lanes column[L];
    for (int64_t l = 0; l < L; ++l) column[l] = core::load(b + l * kLanes);
    for (int64_t r = 0; r < R; ++r)
      for (int64_t l = 0; l < L; ++l) sums[r][l] += a[r * p.a_row] * column[l];
  }
  for (int64_t r = 0; r < R; ++r)
    for (int64_t l = 0; l < L; ++l) core::store(p.c + r * p.c_row + l * kLanes, sums[r][l]);
}

template <int64_t R, int64_t L>
SIGHTLOOP_INLINE void multiply_rows(Product p, int64_t rows) {
  constexpr int64_t kFew = R < 4 ? R : 4;
  const auto advance = [&p](int64_t count) __attribute__((always_inline)) {
    p.a += count * p.a_row;
    p.c += count * p.c_row;
    if (p.start != nullptr) p.start += count * p.start_row;
  };
  for (; rows >= R; rows -= R, advance(R)) multiply_tile<R, L>(p);
  for (; rows >= kFew; rows -= kFew, advance(kFew)) multiply_tile<kFew, L>(p);
  for (; rows > 0; --rows, advance(1)) multiply_tile<1, L>(p);
}

// columns: a multiple of 16
template <int64_t R>
SIGHTLOOP_INLINE void multiply(Product p, int64_t rows, int64_t columns) {
  using core::kLanes;
  const auto advance = [&p](int64_t count) __attribute__((always_inline)) {
    p.b += count;
    p.c += count;
    if (p.start != nullptr) p.start += count;
  };
  for (; columns >= 2 * kLanes; columns -= 2 * kLanes, advance(2 * kLanes)) multiply_rows<R, 2>(p, rows);
  if (columns > 0) multiply_rows<R, 1>(p, rows);
}

}  // namespace sightloop::kernels
