// Any image under any settings: resized and cut into patches, or refused by a c10::Error. The first bytes choose sizes and
// settings, small ones and absurd ones; the others are the pixels, repeated.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "pipeline/data/patches.h"

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  // Mostly 0 .. most - 1; sometimes any 64 bits.
  int64_t size(int64_t most) {
    const auto kind = byte();
    if (kind < 250) return ((int64_t{byte()} << 8) | byte()) % most;
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = (value << 8) | byte();
    return static_cast<int64_t>(value);
  }
  double number() { return (byte() - 128.0) / (byte() + 1); }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

void expect(bool fine) {
  if (!fine) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sightloop::data;
  Input input(data, size);
  const int64_t height = input.size(400), width = input.size(400);
  ImageProcessorSettings settings{.patch_size = input.size(20),
                                  .temporal_patch_size = input.size(4),
                                  .merge_size = input.size(4),
                                  .min_pixels = input.size(60'000),
                                  .max_pixels = input.size(200'000),
                                  .rescale_factor = input.number(),
                                  .image_mean = {input.number(), input.number(), input.number()},
                                  .image_std = {input.number(), input.number(), input.number()}};
  try {
    check_settings(settings);
    if (settings.max_pixels > 1'000'000 || settings.patch_size * settings.merge_size > 1000) return 0;  // only slow
    const bool sized = height > 0 && width > 0 && height <= 400 && width <= 400;
    std::vector<uint8_t> rgb(sized ? static_cast<size_t>(height * width * 3) : 0);
    for (auto& value : rgb) value = input.byte();
    check_pixels(static_cast<int64_t>(rgb.size()), height, width, "input");
    const auto image = resize_image(rgb.data(), height, width, settings);
    expect(image.pixels.size(0) == image.grid.h * settings.patch_size);
    expect(image.pixels.size(1) == image.grid.w * settings.patch_size);
    const auto patches = patchify(image.pixels, settings);
    expect(patches.size(0) == image.grid.num_patches());
    expect(image.grid.num_tokens(settings.merge_size) > 0);
  } catch (const c10::Error&) {
  }
  return 0;
}
