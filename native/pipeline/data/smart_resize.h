#pragma once
#include <cstdint>

namespace sightloop::data {

struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
  bool operator==(const ImageSize&) const = default;
};

// The size nearest to height x width whose sides are multiples of `factor` and whose area lies in
// [min_pixels, max_pixels], keeping the aspect ratio as far as that allows. A side is never below `factor`.
//   Throws c10::Error if a side is not positive, or one side is more than 200 times the other.
// Source: Qwen2-VL, arXiv:2409.12191; the reference rounds halves to even, so 42 / 28 becomes 2 and 70 / 28 becomes 2.
ImageSize smart_resize(int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels);

}  // namespace sightloop::data
