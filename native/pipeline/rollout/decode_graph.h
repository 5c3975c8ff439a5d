#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>

#include "pipeline/rollout/decoder.h"

namespace sightloop::rollout {

// A decode step's inputs; those that change with the step in two tensors, so that they travel in two transfers. S slots, W blocks.
struct PackedInputs {
  at::Tensor integers;   // [S, kColumns + W] int64
  at::Tensor numbers;    // [S, 2] float32: temperature, top_p
  at::Tensor banned;     // int64
  at::Tensor seed_step;  // [2] int64

  enum Column : int64_t {
    kTokenId,
    kSource,
    kPosition,
    kRow,
    kPromptLength,
    kCompletionLength,
    kPromptId,
    kSampleIndex,
    kDrawPosition,
    kTopK,
    kColumns
  };
  explicit PackedInputs(const DecodeInputs& inputs);
  PackedInputs() = default;

  int64_t slots() const { return integers.size(0); }
  at::Tensor column(Column column, at::ScalarType dtype = at::kLong) const {
    return integers.select(1, column).to(dtype).contiguous();
  }
  at::Tensor block_table() const;
  DrawColumns draws() const;
  // `last_tokens` [S'] of the step before, or undefined.   returns [S] int64
  at::Tensor fed_tokens(const at::Tensor& last_tokens) const;
};

// Samples on their way to the host.
class ReadBack {
 public:
  explicit ReadBack(const DrawnTokens& drawn, int64_t count);
  std::vector<kernels::Sample> wait() const;

 private:
  DrawnTokens on_host_;
  std::shared_ptr<void> arrived_;  // an event, where the transfer does not block
};

// Runs a step; on CUDA as a graph, recorded once for each number of slots and replayed after that. What a step reads and
// writes must stay where it is in memory; `forget` where it has moved.
class DecodeGraphs {
 public:
  using Step = std::function<DrawnTokens(const PackedInputs& inputs, const at::Tensor& fed_tokens)>;
  explicit DecodeGraphs(at::Device device);
  ~DecodeGraphs();

  DrawnTokens run(const PackedInputs& on_host, const at::Tensor& last_tokens, const Step& step);
  void forget();

 private:
  struct Graph;
  DrawnTokens replay(const PackedInputs& on_host, const at::Tensor& last_tokens, const Step& step);

  at::Device device_;
  std::pair<uint64_t, uint64_t> pool_;  // of device memory, shared by the graphs: they never run at once
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<Graph>> graphs_;  // by slots and blocks
};

}  // namespace sightloop::rollout
