#include "pipeline/data/positions.h"

#include <ATen/ATen.h>

#include <vector>

#include "doctest/doctest.h"

using namespace sightloop::data;

namespace {

constexpr int32_t kImage = 9, kVideo = 8;
constexpr VisionTokens kTokens = {.image_token_id = kImage, .video_token_id = kVideo, .merge_size = 2};

RopePositions positions(const std::vector<int32_t>& ids, const std::vector<GridThw>& grids) {
  return rope_positions(ids, grids, kTokens);
}

at::Tensor rows(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong).view({3, -1}); }

}  // namespace

DOCTEST_TEST_CASE("rope_positions: text counts up alike on every axis") {
  const auto [found, delta] = positions({1, 2, 3}, {});
  DOCTEST_CHECK(at::equal(found, rows({0, 1, 2, 0, 1, 2, 0, 1, 2})));
  DOCTEST_CHECK(delta == 0);
}

DOCTEST_TEST_CASE("rope_positions: an image counts its merged grid, text goes on after its longer side") {
  // 4 x 6 patches = 2 x 3 tokens after one text token, then two text tokens.
  const auto [found, delta] = positions({1, 9, 9, 9, 9, 9, 9, 2, 3}, {{1, 4, 6}});
  DOCTEST_CHECK(at::equal(found, rows({0, 1, 1, 1, 1, 1, 1, 4, 5,  //
                                       0, 1, 1, 1, 2, 2, 2, 4, 5,  //
                                       0, 1, 2, 3, 1, 2, 3, 4, 5})));
  DOCTEST_CHECK(delta == 5 + 1 - 9);
}

DOCTEST_TEST_CASE("rope_positions: two images may touch, and an image may come first or last") {
  const auto [found, delta] = positions({9, 9, 9, 1, 9}, {{1, 2, 4}, {1, 2, 2}, {1, 2, 2}});
  DOCTEST_CHECK(at::equal(found, rows({0, 0, 2, 3, 4, 0, 0, 2, 3, 4, 0, 1, 2, 3, 4})));
  DOCTEST_CHECK(delta == 0);
}

DOCTEST_TEST_CASE("rope_positions refuses counts that disagree and videos") {
  DOCTEST_CHECK_THROWS_WITH_AS(positions({1, 9, 9}, {{1, 4, 6}}),
                               doctest::Contains("has 2 image tokens (id 9), but its 1 image grids need 6"),
                               c10::Error);
  DOCTEST_CHECK_THROWS_AS(positions({1, 9}, {}), c10::Error);
  DOCTEST_CHECK_THROWS_AS(positions({1, 2}, {{1, 2, 2}}), c10::Error);
  DOCTEST_CHECK_THROWS_AS(positions({}, {}), c10::Error);
  DOCTEST_CHECK_THROWS_AS(positions({9}, {{1, 3, 2}}), c10::Error);
  DOCTEST_CHECK_THROWS_WITH_AS(positions({1, kVideo}, {}), doctest::Contains("videos are not supported"), c10::Error);
  // The right total, but the tokens of the first image are interrupted.
  DOCTEST_CHECK_THROWS_WITH_AS(positions({9, 9, 1, 9, 9, 9}, {{1, 2, 6}, {1, 2, 4}}),
                               doctest::Contains("image 0 needs 3 image tokens in a row"), c10::Error);
}
