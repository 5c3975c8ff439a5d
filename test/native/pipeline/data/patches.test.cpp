#include "pipeline/data/patches.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "doctest/doctest.h"

using namespace sightloop::data;

namespace {

constexpr ImageProcessorSettings kSmall = {.patch_size = 3,
                                           .temporal_patch_size = 2,
                                           .merge_size = 2,
                                           .min_pixels = 36,
                                           .max_pixels = 3600,
                                           .image_mean = {0.48145466, 0.4578275, 0.40821073},
                                           .image_std = {0.26862954, 0.26130258, 0.27577711}};

// The definition, as views: [H, W, 3] -> (h / M, w / M, M, M) x (C, T, P, P).
at::Tensor patches_by_views(const at::Tensor& pixels, const ImageProcessorSettings& s) {
  const auto channel_row = [](const std::array<double, 3>& values) {
    return at::tensor({values[0], values[1], values[2]}, at::kDouble).to(at::kFloat);
  };
  const auto rescaled = (pixels.to(at::kDouble) * s.rescale_factor).to(at::kFloat);
  const auto normalised = (rescaled - channel_row(s.image_mean)) / channel_row(s.image_std);  // [H, W, C]
  const int64_t m = s.merge_size, p = s.patch_size;
  return normalised.view({pixels.size(0) / (m * p), m, p, pixels.size(1) / (m * p), m, p, 3})
      .permute({0, 3, 1, 4, 6, 2, 5})
      .unsqueeze(5)
      .expand({-1, -1, -1, -1, -1, s.temporal_patch_size, -1, -1})
      .reshape({-1, 3 * s.temporal_patch_size * p * p});
}

}  // namespace

DOCTEST_TEST_CASE("patchify orders patches by merge block and equals its definition bit for bit") {
  at::manual_seed(0);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{6, 6}, {12, 18}, {30, 6}}) {
    const auto pixels = at::randint(0, 256, {height, width, 3}, at::kByte);
    const auto patches = patchify(pixels, kSmall);
    DOCTEST_CHECK(grid_thw(height, width, kSmall) == GridThw{1, height / 3, width / 3});
    DOCTEST_CHECK((patches.scalar_type() == at::kFloat));
    DOCTEST_CHECK(at::equal(patches, patches_by_views(pixels, kSmall)));
  }
}

DOCTEST_TEST_CASE("resize_image picks a size of whole merge blocks within the bounds") {
  const std::vector<uint8_t> rgb(100 * 200 * 3, 10);
  const auto image = resize_image(rgb.data(), 100, 200, kSmall);
  DOCTEST_CHECK(image.pixels.size(0) == 42);
  DOCTEST_CHECK(image.pixels.size(1) == 84);
  DOCTEST_CHECK(image.grid == GridThw{1, 14, 28});
  DOCTEST_CHECK(image.grid.num_tokens(kSmall.merge_size) == 98);
}

DOCTEST_TEST_CASE("patchify refuses sizes, types and deviations it cannot use") {
  DOCTEST_CHECK_THROWS_WITH_AS(patchify(at::zeros({6, 7, 3}, at::kByte), kSmall),
                               doctest::Contains("multiples of patch_size x merge_size = 6, got 6 x 7"), c10::Error);
  DOCTEST_CHECK_THROWS_AS(patchify(at::zeros({6, 6, 4}, at::kByte), kSmall), c10::Error);
  DOCTEST_CHECK_THROWS_AS(patchify(at::zeros({6, 6, 3}, at::kFloat), kSmall), c10::Error);
  auto flat = kSmall;
  flat.image_std = {1, 0, 1};
  DOCTEST_CHECK_THROWS_WITH_AS(patchify(at::zeros({6, 6, 3}, at::kByte), flat),
                               doctest::Contains("image_std of channel 1 is 0"), c10::Error);
}
