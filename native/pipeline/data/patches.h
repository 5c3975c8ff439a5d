#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>

// H, W pixels of the resized image; C = 3 channels; T temporal patch size; P patch size; M merge size.
// t, h, w patches along time, height, width; t is 1 for a still image.

namespace sightloop::data {

// The preprocessor settings of a checkpoint; field for field `ImageProcessorSettings` of src/engine/engine.ts.
struct ImageProcessorSettings {
  int64_t patch_size = 14;
  int64_t temporal_patch_size = 2;
  int64_t merge_size = 2;
  int64_t min_pixels = 56 * 56;
  int64_t max_pixels = 28 * 28 * 1280;
  double rescale_factor = 1.0 / 255;
  std::array<double, 3> image_mean = {};  // R, G, B
  std::array<double, 3> image_std = {1, 1, 1};
};

struct GridThw {
  int64_t t = 0;
  int64_t h = 0;
  int64_t w = 0;

  int64_t num_patches() const { return t * h * w; }
  int64_t num_tokens(int64_t merge_size) const { return num_patches() / (merge_size * merge_size); }
  bool operator==(const GridThw&) const = default;
};

// Throws c10::Error naming the setting that is out of range: sizes that no image processor has would overflow.
void check_settings(const ImageProcessorSettings& settings);

// Throws c10::Error unless `bytes` are the RGB pixels of a height x width image; `name` stands for it in the message.
void check_pixels(int64_t bytes, int64_t height, int64_t width, const std::string& name);

// Patches of an image of H x W pixels, both multiples of P * M.
GridThw grid_thw(int64_t height, int64_t width, const ImageProcessorSettings& settings);

struct ResizedImage {
  at::Tensor pixels;  // [H, W, 3] uint8
  GridThw grid;
};

// An image as an engine takes it. With its patches, cut ahead, the first encoding need not cut them.
struct PreparedImage {
  ResizedImage resized;
  at::Tensor patches;  // of patchify, or undefined
};

// rgb [height, width, 3] uint8, contiguous -> the image at the size smart_resize chooses.
ResizedImage resize_image(const uint8_t* rgb, int64_t height, int64_t width, const ImageProcessorSettings& settings);

// Rescaled, normalised patches of one still image, as the vision tower reads them.
//   resized_u8  [H, W, 3] uint8, contiguous
//   returns     [t * h * w, C * T * P * P] float32. Rows run over (h / M, w / M, M, M): the M x M patches that merge into
//               one token are neighbours. A row runs over (C, T, P, P); the image is repeated T times.
// A value is float32(double(byte) * rescale_factor), minus float32(mean), divided by float32(std), as the reference
// computes it.
at::Tensor patchify(const at::Tensor& resized_u8, const ImageProcessorSettings& settings);

}  // namespace sightloop::data
