#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "core/attention_context.h"

namespace sightloop::core {

// Groups laid end to end for one forward pass, and which hidden state predicts which token.
// T tokens fed, M tokens predicted. A completion's last token is predicted but never fed.
struct PackedGroups {
  Groups groups;
  at::Tensor token_ids;                // [T] int64
  at::Tensor positions;                // [3, T] int64, rotary positions (t, h, w)
  at::Tensor predicting_rows;          // [M] int64, row whose hidden state predicts the token
  at::Tensor targets;                  // [M] int64, the token
  at::Tensor flat;                     // [M] int64, its place in the batch's flat token columns
  std::vector<std::string> image_ids;  // of all prompts, in order

  int64_t num_tokens() const { return token_ids.size(0); }
};

// Rotary positions of a prompt, and the offset of everything after it: token i of the row stands at i + delta.
struct PromptPositions {
  at::Tensor positions;  // [3, prompt_length] int64
  int64_t delta = 0;
};

}  // namespace sightloop::core
