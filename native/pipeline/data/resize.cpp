#include "pipeline/data/resize.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

// H, W rows and columns of the input, h, w of the output; pixels are 3 bytes.

namespace sightloop::data {
namespace {

constexpr int64_t kChannels = 3;
constexpr double kSupport = 2;
constexpr double kSharpness = -0.5;
// 8 bits of value and 2 of head-room (the weights' absolute sum exceeds 1) leave 22 for the fraction.
constexpr int kFractionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return ((kSharpness + 2) * x - (kSharpness + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kSharpness;
  return 0;
}

// Output i is sum over k < lengths[i] of weights[i * stride + k] * input[firsts[i] + k].
struct Taps {
  int64_t stride = 0;
  std::vector<int64_t> firsts;
  std::vector<int64_t> lengths;
  std::vector<int32_t> weights;  // fixed point, kFractionBits
};

// Truncates towards zero as a C cast does; halves were moved away from zero first.
int32_t to_fixed(double weight) {
  const double scaled = weight * static_cast<double>(1 << kFractionBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

Taps taps_for(int64_t size, int64_t out_size) {
  const double scale = static_cast<double>(size) / static_cast<double>(out_size);
  const double stretch = std::max(scale, 1.0);
  const double support = kSupport * stretch;
  const double inverse_stretch = 1.0 / stretch;

  Taps taps;
  taps.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  taps.firsts.resize(out_size);
  taps.lengths.resize(out_size);
  taps.weights.assign(out_size * taps.stride, 0);
  std::vector<double> exact(taps.stride);
  for (int64_t i = 0; i < out_size; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t last = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), size);
    const int64_t length = last - first;
    double total = 0;
    for (int64_t k = 0; k < length; ++k) {
      exact[k] = cubic((static_cast<double>(k + first) - center + 0.5) * inverse_stretch);
      total += exact[k];
    }
    for (int64_t k = 0; k < length; ++k)
      taps.weights[i * taps.stride + k] = to_fixed(total != 0 ? exact[k] / total : exact[k]);
    taps.firsts[i] = first;
    taps.lengths[i] = length;
  }
  return taps;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

// in [rows, W, 3] -> out [rows, w, 3]
void resize_rows(const uint8_t* in, int64_t rows, int64_t in_width, const Taps& taps, uint8_t* out) {
  const auto out_width = static_cast<int64_t>(taps.firsts.size());
  for (int64_t y = 0; y < rows; ++y) {
    const uint8_t* line = in + y * in_width * kChannels;
    for (int64_t x = 0; x < out_width; ++x) {
      const uint8_t* pixel = line + taps.firsts[x] * kChannels;
      const int32_t* weight = taps.weights.data() + x * taps.stride;
      int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (int64_t k = 0; k < taps.lengths[x]; ++k, pixel += kChannels) {
        red += weight[k] * pixel[0];
        green += weight[k] * pixel[1];
        blue += weight[k] * pixel[2];
      }
      *out++ = to_byte(red);
      *out++ = to_byte(green);
      *out++ = to_byte(blue);
    }
  }
}

// in [H, w, 3] -> out [h, w, 3]; sums a whole line at a time, so that the inner loop runs over contiguous bytes.
void resize_columns(const uint8_t* in, int64_t width, const Taps& taps, uint8_t* out) {
  const int64_t line_length = width * kChannels;
  const auto out_height = static_cast<int64_t>(taps.firsts.size());
  std::vector<int32_t> sums(line_length);
  for (int64_t y = 0; y < out_height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int64_t k = 0; k < taps.lengths[y]; ++k) {
      const uint8_t* line = in + (taps.firsts[y] + k) * line_length;
      const int32_t weight = taps.weights[y * taps.stride + k];
      for (int64_t x = 0; x < line_length; ++x) sums[x] += weight * line[x];
    }
    for (int64_t x = 0; x < line_length; ++x) *out++ = to_byte(sums[x]);
  }
}

}  // namespace

void resize_bicubic(const uint8_t* rgb, int64_t height, int64_t width, int64_t out_height, int64_t out_width,
                    uint8_t* out) {
  TORCH_CHECK(height > 0 && width > 0 && out_height > 0 && out_width > 0,
              "resize_bicubic: expected positive sizes, got ", height, " x ", width, " -> ", out_height, " x ",
              out_width, " (height x width). Remove the image.");
  const bool rows_change = width != out_width, columns_change = height != out_height;
  if (!rows_change && !columns_change) {
    std::memcpy(out, rgb, static_cast<size_t>(height * width * kChannels));
  } else if (!columns_change) {
    resize_rows(rgb, height, width, taps_for(width, out_width), out);
  } else if (!rows_change) {
    resize_columns(rgb, width, taps_for(height, out_height), out);
  } else {
    std::vector<uint8_t> narrowed(static_cast<size_t>(height * out_width * kChannels));  // [H, w, 3]
    resize_rows(rgb, height, width, taps_for(width, out_width), narrowed.data());
    resize_columns(narrowed.data(), out_width, taps_for(height, out_height), out);
  }
}

}  // namespace sightloop::data
