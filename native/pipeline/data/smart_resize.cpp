#include "pipeline/data/smart_resize.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

namespace sightloop::data {
namespace {

constexpr double kMaxAspectRatio = 200;

// Halves go to the even neighbour, whatever the thread's rounding mode.
double round_half_even(double value) {
  const double below = std::floor(value);
  const double rest = value - below;
  if (rest != 0.5) return rest < 0.5 ? below : below + 1;
  return std::fmod(below, 2) == 0 ? below : below + 1;
}

}  // namespace

ImageSize smart_resize(int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels) {
  TORCH_CHECK(height > 0 && width > 0, "smart_resize: expected an image with pixels, got ", height, " x ", width,
              " (height x width). Remove the image.");
  TORCH_CHECK(factor > 0 && min_pixels > 0 && max_pixels >= min_pixels,
              "smart_resize: expected factor > 0 and 0 < min_pixels <= max_pixels, got factor ", factor,
              ", min_pixels ", min_pixels, ", max_pixels ", max_pixels,
              ". Check the checkpoint's preprocessor settings.");
  const auto h = static_cast<double>(height), w = static_cast<double>(width), side = static_cast<double>(factor);
  const double ratio = std::max(h, w) / std::min(h, w);
  TORCH_CHECK(ratio <= kMaxAspectRatio, "smart_resize: one side of the image may be at most ", kMaxAspectRatio,
              " times the other, got ", height, " x ", width, " (height x width). Crop or split the image.");

  const double area = h * w, least = static_cast<double>(min_pixels), most = static_cast<double>(max_pixels);
  double out_h = round_half_even(h / side) * side;
  double out_w = round_half_even(w / side) * side;
  if (out_h * out_w > most) {
    const double shrink = std::sqrt(area / most);
    out_h = std::max(side, std::floor(h / shrink / side) * side);
    out_w = std::max(side, std::floor(w / shrink / side) * side);
  } else if (out_h * out_w < least) {
    const double grow = std::sqrt(least / area);
    out_h = std::ceil(h * grow / side) * side;
    out_w = std::ceil(w * grow / side) * side;
  }
  return {.height = static_cast<int64_t>(out_h), .width = static_cast<int64_t>(out_w)};
}

}  // namespace sightloop::data
