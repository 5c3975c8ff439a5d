#include "core/random.h"

namespace sightloop::core {
namespace {

// splitmix64's finaliser: folds the parts of a key that do not fit the 128-bit counter into Philox's 64-bit key.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = 0xD2511F53ULL * counter[0];
    const uint64_t second = 0xCD9E8D57ULL * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

double uniform(const DrawKey& key) {
  const uint64_t seed = mix(mix(key.seed) ^ key.step);
  const auto bits = philox4x32({static_cast<uint32_t>(key.prompt_id), static_cast<uint32_t>(key.prompt_id >> 32),
                                key.sample_index, key.position},
                               {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t wide = (static_cast<uint64_t>(bits[0]) << 32 | bits[1]) >> 11;  // 53 bits
  return (static_cast<double>(wide) + 0.5) * 0x1.0p-53;
}

}  // namespace sightloop::core
