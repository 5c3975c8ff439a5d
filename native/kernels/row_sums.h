#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "core/lanes.h"

namespace sightloop::kernels {

// Sums over a row of `count` terms in one order, so that the sampler's log-probs and the LM head's agree bit for bit: 16 sums
// side by side within a block, the blocks' totals as doubles. Only for functions compiled for each instruction set.
//   terms(i, valid): terms i .. i + 15, 0 from the `valid`-th on; one vector for each of the N sums
template <size_t N, typename Terms>
SIGHTLOOP_INLINE std::array<double, N> row_sums(int64_t count, const Terms& terms) {
  using core::kLanes;
  constexpr int64_t kBlock = 1024;
  std::array<double, N> totals = {};
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const auto end = std::min(begin + kBlock, count);
    core::Lanes sums[N] = {};
    for (auto i = begin; i < end; i += kLanes) {
      const std::array<core::Lanes, N> next = terms(i, std::min(kLanes, end - i));
      for (size_t n = 0; n < N; ++n) sums[n] += next[n];
    }
    for (size_t n = 0; n < N; ++n) totals[n] += core::sum(sums[n]);
  }
  return totals;
}

}  // namespace sightloop::kernels
