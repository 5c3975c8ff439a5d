#pragma once
#include <array>
#include <cstdint>

namespace sightloop::core {

// What one draw is for. Equal keys give equal draws, whatever was drawn before, on any batch layout or rank.
struct DrawKey {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint64_t prompt_id = 0;
  uint32_t sample_index = 0;
  uint32_t position = 0;  // index of the token in its completion
};

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): 128 bits from counter and key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in (0, 1), 53 bits, never 0 or 1.
double uniform(const DrawKey& key);

}  // namespace sightloop::core
