#pragma once
#include "kernels/device.cuh"

// core/random.cpp on the device: the same key gives the same number, bit for bit.
namespace sightloop::kernels::device {

__device__ inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// core::uniform of this core::DrawKey: in (0, 1), 53 bits. Philox4x32-10 (Salmon et al. 2011).
__device__ inline double uniform(uint64_t seed, uint64_t step, uint64_t prompt_id, uint32_t sample_index,
                                 uint32_t position) {
  const uint64_t mixed = mix(mix(seed) ^ step);
  auto key0 = static_cast<uint32_t>(mixed), key1 = static_cast<uint32_t>(mixed >> 32);
  auto c0 = static_cast<uint32_t>(prompt_id), c1 = static_cast<uint32_t>(prompt_id >> 32);
  uint32_t c2 = sample_index, c3 = position;
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = 0xD2511F53ULL * c0, second = 0xCD9E8D57ULL * c2;
    c0 = static_cast<uint32_t>(second >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(second);
    c2 = static_cast<uint32_t>(first >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(first);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  const uint64_t wide = (static_cast<uint64_t>(c0) << 32 | c1) >> 11;
  return (static_cast<double>(wide) + 0.5) * 0x1.0p-53;
}

}  // namespace sightloop::kernels::device
