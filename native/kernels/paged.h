#pragma once
#include <cstdint>

namespace sightloop::kernels {

// Blocks that hold so many positions.
constexpr int64_t blocks_of(int64_t positions, int64_t block_size) { return (positions + block_size - 1) / block_size; }

}  // namespace sightloop::kernels
