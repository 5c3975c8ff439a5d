#include "pipeline/data/smart_resize.h"

#include <c10/util/Exception.h>

#include "doctest/doctest.h"

using sightloop::data::ImageSize;
using sightloop::data::smart_resize;

DOCTEST_TEST_CASE("smart_resize rounds halves to even and keeps the area within its bounds") {
  struct Row {
    ImageSize in, out;
    int64_t min_pixels, max_pixels;
  };
  for (const auto& [in, out, min_pixels, max_pixels] : {
           Row{{112, 168}, {112, 168}, 3136, 12845056}, Row{{70, 98}, {56, 112}, 3136, 12845056},  // 2.5 -> 2, 3.5 -> 4
           Row{{42, 126}, {56, 112}, 1, 12845056},                                                 // 1.5 -> 2, 4.5 -> 4
           Row{{1, 1}, {56, 56}, 3136, 12845056},       // grown to min_pixels
           Row{{14, 14}, {56, 56}, 3136, 12845056},     // 0.5 -> 0 patches: grown as well
           Row{{2000, 3000}, {112, 168}, 3136, 25088},  // shrunk to max_pixels
           Row{{200, 1}, {812, 28}, 3136, 12845056},    // the widest ratio allowed
       }) {
    DOCTEST_CAPTURE(in.height);
    DOCTEST_CAPTURE(in.width);
    DOCTEST_CHECK(smart_resize(in.height, in.width, 28, min_pixels, max_pixels) == out);
  }
}

DOCTEST_TEST_CASE("smart_resize refuses extreme shapes and impossible bounds") {
  DOCTEST_CHECK_THROWS_WITH_AS(smart_resize(201, 1, 28, 3136, 12845056),
                               doctest::Contains("may be at most 200 times the other, got 201 x 1"), c10::Error);
  DOCTEST_CHECK_THROWS_AS(smart_resize(0, 10, 28, 3136, 12845056), c10::Error);
  DOCTEST_CHECK_THROWS_AS(smart_resize(10, 10, 28, 3136, 100), c10::Error);
  DOCTEST_CHECK_THROWS_AS(smart_resize(10, 10, 0, 3136, 12845056), c10::Error);
}
