#pragma once
#include <cstdint>

namespace sightloop::data {

// Resamples an RGB image as Pillow's Image.resize(..., BICUBIC) does, byte for byte: antialiased separable filter
// (a = -0.5, support 2, stretched by the scale when shrinking), weights in 22-bit fixed point, rows first, the
// intermediate image rounded to 8 bits, then columns. A pass whose length does not change is skipped.
//   rgb  [height, width, 3]           row-major, contiguous
//   out  [out_height, out_width, 3]   written whole; must not overlap rgb
//   Throws c10::Error if a side is not positive.
// Source: the Pillow handbook, "Filters"; Keys 1981, doi:10.1109/TASSP.1981.1163711.
void resize_bicubic(const uint8_t* rgb, int64_t height, int64_t width, int64_t out_height, int64_t out_width,
                    uint8_t* out);

}  // namespace sightloop::data
