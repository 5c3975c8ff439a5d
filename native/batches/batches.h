#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/packed_groups.h"

// The three batch types of the pipeline, as host tensors. R rows, L tokens of all rows laid flat.
namespace sightloop::batches {

using ImageIds = std::vector<std::vector<std::string>>;  // per row, in the order of their placeholders

struct PromptBatch {
  at::Tensor prompt_ids;  // [R] int64
  at::Tensor token_ids;   // [L] int32
  at::Tensor offsets;     // [R + 1] int32
  ImageIds image_ids;

  int64_t rows() const { return prompt_ids.size(0); }
};

enum class FinishReason : uint8_t { stop, length };

struct RolloutBatch {
  at::Tensor prompt_ids;         // [R] int64, rows of one prompt are consecutive
  at::Tensor sample_indices;     // [R] int32
  at::Tensor policy_versions;    // [R] int32
  at::Tensor token_ids;          // [L] int32
  at::Tensor offsets;            // [R + 1] int32
  at::Tensor completion_mask;    // [L] uint8, 1 = sampled token
  at::Tensor rollout_logprobs;   // [L] float32
  at::Tensor sampling_logprobs;  // [L] float32, or undefined
  std::vector<FinishReason> finish_reasons;
  ImageIds image_ids;

  int64_t rows() const { return prompt_ids.size(0); }
};

struct TrajectoryBatch {
  RolloutBatch rollouts;
  at::Tensor policy_logprobs;     // [L] float32
  at::Tensor reference_logprobs;  // [L] float32, or undefined
  at::Tensor advantages;          // [L] float32
};

// Rows of one prompt that are computed together.
struct RowGroup {
  std::vector<int64_t> rows;
  int64_t prompt_length = 0;

  // Tokens fed to the model: the prompt once, every completion without its last token.
  int64_t fed_tokens(const RolloutBatch& batch) const;
};

// Consecutive rows with the same prompt id and the same prompt tokens, in order. `rows` selects and orders rows.
std::vector<RowGroup> group_rows(const RolloutBatch& batch, std::span<const int64_t> rows);
std::vector<RowGroup> group_rows(const RolloutBatch& batch);

// Cuts groups into passes of at most `tokens_per_microbatch` fed tokens. Whole groups are packed; a group over the
// budget is split and its prompt computed again. A single row over the budget is a pass of its own.
std::vector<std::vector<RowGroup>> plan_microbatches(const RolloutBatch& batch, std::span<const RowGroup> groups,
                                                     int64_t tokens_per_microbatch);

// Rotary positions of the first `length` tokens of a row, given its images.
using PositionsOf =
    std::function<core::PromptPositions(std::span<const int32_t> tokens, const std::vector<std::string>& image_ids)>;

// Features [M, D] of images by id, in order; undefined for none.
using FeaturesOf = std::function<at::Tensor(const std::vector<std::string>& image_ids)>;

core::PackedGroups pack(const RolloutBatch& batch, std::span<const RowGroup> groups, const PositionsOf& positions_of);

template <typename T>
std::span<const T> values(const at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace sightloop::batches
