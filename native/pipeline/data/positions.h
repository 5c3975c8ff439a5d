#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "pipeline/data/patches.h"

// T tokens of one sequence.

namespace sightloop::data {

struct RopePositions {
  at::Tensor positions;  // [3, T] int64: time, height, width
  // Added to a token's index to get its position once every image lies behind: max(positions) + 1 - T.
  int64_t delta = 0;
};

struct VisionTokens {
  int64_t image_token_id = -1;
  int64_t video_token_id = -1;  // -1: the model has none
  int64_t merge_size = 2;
};

// Rotary positions of a sequence with images. Text counts up on all three axes at once; the tokens of an image count
// its merged grid (t, h / M, w / M) from the position where it starts, and text goes on after the image's longer side.
//   token_ids  T ids, every image's placeholder already repeated once per image token
//   grids      of the images, in the order of their tokens; images may touch
//   Throws c10::Error if the image tokens are not exactly those of the grids, or the sequence holds a video token.
// Source: M-RoPE, arXiv:2409.12191 section 2.1.
RopePositions rope_positions(std::span<const int32_t> token_ids, std::span<const GridThw> grids,
                             const VisionTokens& tokens);

}  // namespace sightloop::data
