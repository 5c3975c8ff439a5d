#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/lanes.h"

// What attention over a paged cache and attention over packed groups share, so that a token's result is the same bits in
// both: its query is scaled first; column j is the j-th position of the prompt, or whole(prompt) + the place in the completion;
// columns between hold no weight; weights are summed as 16 sums side by side, and divided out of the weighted values.
namespace sightloop::kernels {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

constexpr int64_t whole(int64_t count) { return (count + core::kLanes - 1) / core::kLanes * core::kLanes; }

inline float attention_scale(int64_t head_width) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width)));
}

struct RowWeights {
  float highest, sum;
};
// In place: e^(score - highest).   count: a multiple of 16
SIGHTLOOP_INLINE RowWeights weigh_row(float* scores, int64_t count) {
  const float highest = core::maximum(scores, count);
  core::Lanes total = {};
  for (int64_t i = 0; i < count; i += core::kLanes) {
    const core::Lanes weight = core::exponential(core::load(scores + i) - highest);
    core::store(scores + i, weight);
    total += weight;
  }
  return {.highest = highest, .sum = core::sum(total)};
}

}  // namespace sightloop::kernels
