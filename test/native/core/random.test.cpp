#include "core/random.h"

#include <cmath>
#include <set>

#include "doctest/doctest.h"

using sightloop::core::DrawKey;
using sightloop::core::philox4x32;
using sightloop::core::uniform;

DOCTEST_TEST_CASE("philox4x32 gives the published test vectors") {
  using Words = std::array<uint32_t, 4>;
  DOCTEST_CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  DOCTEST_CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
                Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  DOCTEST_CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
                Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

DOCTEST_TEST_CASE("uniform depends on every part of its key and is uniform") {
  const DrawKey base{.seed = 1, .step = 2, .prompt_id = 3, .sample_index = 4, .position = 5};
  std::set<double> draws{uniform(base)};
  for (const auto& key : {DrawKey{2, 2, 3, 4, 5}, DrawKey{1, 3, 3, 4, 5}, DrawKey{1, 2, 4, 4, 5},
                          DrawKey{1, 2, 3, 5, 5}, DrawKey{1, 2, 3, 4, 6}, DrawKey{1, 2, 3ULL << 32, 4, 5}})
    draws.insert(uniform(key));
  DOCTEST_CHECK(draws.size() == 7);
  DOCTEST_CHECK(uniform(base) == uniform(base));

  double mean = 0, square = 0;
  constexpr int kDraws = 100000;
  for (uint32_t i = 0; i < kDraws; ++i) {
    const double u = uniform({.seed = 9, .step = 0, .prompt_id = i / 64, .sample_index = i % 64, .position = 0});
    DOCTEST_REQUIRE((u > 0 && u < 1));
    mean += u / kDraws;
    square += u * u / kDraws;
  }
  DOCTEST_CHECK(std::abs(mean - 0.5) < 0.005);
  DOCTEST_CHECK(std::abs(square - mean * mean - 1.0 / 12) < 0.002);
}
