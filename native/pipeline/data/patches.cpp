#include "pipeline/data/patches.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "core/check.h"
#include "pipeline/data/resize.h"
#include "pipeline/data/smart_resize.h"

namespace sightloop::data {
namespace {

constexpr int64_t kChannels = 3;
constexpr int64_t kMaxPatchSide = 1024;
constexpr int64_t kMaxResizedPixels = int64_t{1} << 27;  // 400 MB of RGB

using ByteValues = std::array<std::array<float, 256>, kChannels>;  // [C, byte]

ByteValues normalised_bytes(const ImageProcessorSettings& settings) {
  ByteValues values;
  for (int64_t c = 0; c < kChannels; ++c) {
    const auto mean = static_cast<float>(settings.image_mean[c]);
    const auto deviation = static_cast<float>(settings.image_std[c]);
    TORCH_CHECK(deviation != 0, "patchify: image_std of channel ", c, " is 0. Check the preprocessor settings.");
    for (int64_t byte = 0; byte < 256; ++byte) {
      const auto rescaled = static_cast<float>(static_cast<double>(byte) * settings.rescale_factor);
      values[c][byte] = (rescaled - mean) / deviation;
    }
  }
  return values;
}

// Writes one patch as (C, T, P, P) and returns the end of it. `corner` is its top left pixel, `line` the bytes of a row.
float* write_patch(const uint8_t* corner, int64_t line, const ByteValues& values, int64_t side, int64_t repeats,
                   float* out) {
  for (int64_t c = 0; c < kChannels; ++c) {
    const float* const frame = out;
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 0; x < side; ++x) *out++ = values[c][corner[y * line + x * kChannels + c]];
    for (int64_t repeat = 1; repeat < repeats; ++repeat) out = std::copy_n(frame, side * side, out);
  }
  return out;
}

}  // namespace

void check_settings(const ImageProcessorSettings& settings) {
  const auto check = [](const char* name, int64_t value, int64_t most) {
    TORCH_CHECK(value > 0 && value <= most, "image processor: ", name, " must be from 1 to ", most, ", got ", value,
                ". Check the checkpoint's preprocessor settings.");
  };
  check("patch_size", settings.patch_size, kMaxPatchSide);
  check("temporal_patch_size", settings.temporal_patch_size, kMaxPatchSide);
  check("merge_size", settings.merge_size, kMaxPatchSide);
  check("min_pixels", settings.min_pixels, kMaxResizedPixels);
  check("max_pixels", settings.max_pixels, kMaxResizedPixels);
}

void check_pixels(int64_t bytes, int64_t height, int64_t width, const std::string& name) {
  // Divided, not multiplied: the product of two sides may overflow.
  const bool fine = height > 0 && width > 0 && bytes % kChannels == 0 && bytes / kChannels % width == 0 &&
                    bytes / kChannels / width == height;
  TORCH_CHECK(fine, name, ": ", bytes, " bytes are not ", height, " x ", width, " RGB pixels (height x width)");
}

GridThw grid_thw(int64_t height, int64_t width, const ImageProcessorSettings& settings) {
  const int64_t factor = settings.patch_size * settings.merge_size;
  TORCH_CHECK(height > 0 && width > 0 && height % factor == 0 && width % factor == 0,
              "grid_thw: expected sides that are multiples of patch_size x merge_size = ", factor, ", got ", height,
              " x ", width, " (height x width). Resize with smart_resize first.");
  return {.t = 1, .h = height / settings.patch_size, .w = width / settings.patch_size};
}

ResizedImage resize_image(const uint8_t* rgb, int64_t height, int64_t width, const ImageProcessorSettings& settings) {
  const auto size =
      smart_resize(height, width, settings.patch_size * settings.merge_size, settings.min_pixels, settings.max_pixels);
  auto pixels = at::empty({size.height, size.width, kChannels}, at::kByte);
  resize_bicubic(rgb, height, width, size.height, size.width, pixels.mutable_data_ptr<uint8_t>());
  return {.pixels = std::move(pixels), .grid = grid_thw(size.height, size.width, settings)};
}

at::Tensor patchify(const at::Tensor& resized_u8, const ImageProcessorSettings& settings) {
  core::check_shape(resized_u8, {-1, -1, kChannels}, "patchify: resized image");
  TORCH_CHECK(resized_u8.scalar_type() == at::kByte && resized_u8.is_contiguous() && resized_u8.is_cpu(),
              "patchify: expected a contiguous uint8 image on the CPU, got ", resized_u8.toString());
  const auto grid = grid_thw(resized_u8.size(0), resized_u8.size(1), settings);
  const int64_t side = settings.patch_size, merge = settings.merge_size, repeats = settings.temporal_patch_size;
  const int64_t line = resized_u8.size(1) * kChannels;
  const auto values = normalised_bytes(settings);

  auto patches = at::empty({grid.num_patches(), kChannels * repeats * side * side}, at::kFloat);
  const auto* const pixels = resized_u8.const_data_ptr<uint8_t>();
  auto* out = patches.mutable_data_ptr<float>();
  for (int64_t block_y = 0; block_y < grid.h; block_y += merge)
    for (int64_t block_x = 0; block_x < grid.w; block_x += merge)
      for (int64_t y = block_y; y < block_y + merge; ++y)
        for (int64_t x = block_x; x < block_x + merge; ++x)
          out = write_patch(pixels + y * side * line + x * side * kChannels, line, values, side, repeats, out);
  return patches;  // [t * h * w, C * T * P * P]
}

}  // namespace sightloop::data
