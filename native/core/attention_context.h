#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace sightloop::core {

// How the tokens of one forward pass see each other. Passed down to every language-model layer.
// T tokens, N query heads, K key/value heads, H head width.
class AttentionContext {
 public:
  virtual ~AttentionContext() = default;
  // Completions are being sampled: no gradient follows, and packed weights are used where there are any.
  virtual bool samples() const { return false; }
  //   query [T, N, H]   key, value [T, K, H], rotated   returns [T, N, H]
  virtual at::Tensor attend(int64_t layer, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) = 0;
};

// Sequences of a packed pass: a prompt, then the completions that share it, then the next group.
struct Group {
  int64_t begin = 0;  // row of the prompt's first token
  int64_t prompt_length = 0;
  std::vector<int64_t> completion_lengths;  // as fed to the model; 0 is allowed

  int64_t completion_tokens() const {
    int64_t count = 0;
    for (const auto length : completion_lengths) count += length;
    return count;
  }
};

using Groups = std::vector<Group>;

}  // namespace sightloop::core
