#include "pipeline/data/resize.h"

#include <c10/util/Exception.h>

#include <cstdint>
#include <vector>

#include "doctest/doctest.h"

using Bytes = std::vector<uint8_t>;

namespace {

Bytes resized(const Bytes& rgb, int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  Bytes out(static_cast<size_t>(out_height * out_width * 3), 77);
  sightloop::data::resize_bicubic(rgb.data(), height, width, out_height, out_width, out.data());
  return out;
}

// [3, 4, 3], with edges that overshoot on both sides.
const Bytes kImage = {0,   0,   255, 255, 127, 0,   0,  0, 255, 255, 127, 0,   255, 127, 0,   0,  0,  255,
                      255, 127, 0,   0,   0,   255, 10, 5, 245, 20,  10,  235, 30,  15,  225, 40, 20, 215};

}  // namespace

DOCTEST_TEST_CASE("resize_bicubic gives the bytes of Pillow 12.3") {
  DOCTEST_CHECK(resized(kImage, 3, 4, 2, 3) ==
                Bytes{119, 59, 136, 132, 66, 124, 144, 72, 111, 74, 37, 181, 61, 31, 194, 48, 24, 207});
  DOCTEST_CHECK(resized(kImage, 3, 4, 3, 2) ==  // rows only
                Bytes{107, 54, 148, 148, 73, 107, 148, 73, 107, 107, 54, 148, 16, 8, 239, 34, 17, 221});
  DOCTEST_CHECK(resized(kImage, 3, 4, 6, 4) ==  // columns only
                Bytes{0,   0,   255, 255, 138, 0,   0,   0,   255, 255, 138, 0,   54,  27,  201, 206, 103, 49,
                      53,  27,  202, 206, 102, 49,  215, 107, 40,  55,  27,  200, 214, 107, 41,  54,  27,  201,
                      218, 109, 37,  0,   0,   255, 223, 111, 32,  0,   0,   255, 62,  31,  193, 11,  5,   244,
                      78,  39,  177, 27,  13,  228, 0,   0,   255, 22,  11,  233, 10,  5,   245, 44,  22,  211});
}

DOCTEST_TEST_CASE("resize_bicubic copies when the size stays, and keeps a constant image constant") {
  DOCTEST_CHECK(resized(kImage, 3, 4, 3, 4) == kImage);
  for (const int64_t height : {1, 2, 19, 500})
    for (const int64_t width : {1, 3, 40})
      DOCTEST_CHECK(resized(Bytes(static_cast<size_t>(height * width * 3), 201), height, width, 28, 56) ==
                    Bytes(28 * 56 * 3, 201));
}

DOCTEST_TEST_CASE("resize_bicubic refuses an empty image") {
  uint8_t byte = 0;
  DOCTEST_CHECK_THROWS_AS(sightloop::data::resize_bicubic(&byte, 0, 1, 28, 28, &byte), c10::Error);
  DOCTEST_CHECK_THROWS_AS(sightloop::data::resize_bicubic(&byte, 1, 1, 28, 0, &byte), c10::Error);
}
