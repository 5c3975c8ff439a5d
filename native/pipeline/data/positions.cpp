#include "pipeline/data/positions.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace sightloop::data {
namespace {

struct Axes {
  int64_t* time;
  int64_t* height;
  int64_t* width;
};

void check_tokens(std::span<const int32_t> token_ids, std::span<const GridThw> grids, const VisionTokens& tokens) {
  TORCH_CHECK(!token_ids.empty(), "rope_positions: the sequence has no tokens. Drop the empty prompt.");
  TORCH_CHECK(tokens.video_token_id < 0 || std::ranges::count(token_ids, tokens.video_token_id) == 0,
              "rope_positions: the sequence holds a video token (id ", tokens.video_token_id,
              "), and videos are not supported. Use images, or remove the token from the text.");
  int64_t expected = 0;
  for (const auto& grid : grids) {
    TORCH_CHECK(
        grid.t > 0 && grid.h > 0 && grid.w > 0 && grid.h % tokens.merge_size == 0 && grid.w % tokens.merge_size == 0,
        "rope_positions: expected image grids with h and w that are multiples of merge_size ", tokens.merge_size,
        ", got (", grid.t, ", ", grid.h, ", ", grid.w, ").");
    expected += grid.num_tokens(tokens.merge_size);
  }
  const auto found = static_cast<int64_t>(std::ranges::count(token_ids, tokens.image_token_id));
  TORCH_CHECK(found == expected, "rope_positions: the sequence has ", found, " image tokens (id ",
              tokens.image_token_id, "), but its ", grids.size(), " image grids need ", expected,
              ". Repeat each placeholder once per image token, in the order of the images.");
}

}  // namespace

RopePositions rope_positions(std::span<const int32_t> token_ids, std::span<const GridThw> grids,
                             const VisionTokens& tokens) {
  check_tokens(token_ids, grids, tokens);
  const auto count = static_cast<int64_t>(token_ids.size());
  auto positions = at::empty({3, count}, at::kLong);
  auto* const data = positions.mutable_data_ptr<int64_t>();
  const Axes axes{.time = data, .height = data + count, .width = data + 2 * count};

  int64_t position = 0;  // of the next text token, or the corner of the next image; never below any position so far
  auto grid = grids.begin();
  for (int64_t i = 0; i < count;) {
    if (token_ids[i] != tokens.image_token_id) {
      axes.time[i] = axes.height[i] = axes.width[i] = position++;
      ++i;
      continue;
    }
    const int64_t height = grid->h / tokens.merge_size, width = grid->w / tokens.merge_size;
    const int64_t end = i + grid->t * height * width;
    for (int64_t k = 0; i < end; ++i, ++k) {
      TORCH_CHECK(token_ids[i] == tokens.image_token_id, "rope_positions: image ", grid - grids.begin(), " needs ",
                  grid->t * height * width, " image tokens in a row, but token ", i, " is ", token_ids[i],
                  ". Give the images in the order of their tokens.");
      axes.time[i] = position + k / (height * width);
      axes.height[i] = position + k / width % height;
      axes.width[i] = position + k % width;
    }
    // By the longer side, as the reference: frames of t > 1 may reach further, so the delta looks at the maximum.
    position += std::max(height, width);
    ++grid;
  }
  return {.positions = positions, .delta = *std::max_element(data, data + 3 * count) + 1 - count};
}

}  // namespace sightloop::data
