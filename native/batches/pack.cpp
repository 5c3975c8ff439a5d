#include <ATen/ATen.h>

#include "batches/batches.h"

namespace sightloop::batches {

core::PackedGroups pack(const RolloutBatch& batch, std::span<const RowGroup> groups, const PositionsOf& positions_of) {
  const auto offsets = values<int32_t>(batch.offsets);
  const auto tokens = values<int32_t>(batch.token_ids);
  const auto mask = values<uint8_t>(batch.completion_mask);

  core::PackedGroups packed;
  std::vector<int64_t> token_ids, predicting_rows, targets, flat;
  std::vector<at::Tensor> positions;
  for (const auto& group : groups) {
    const auto first = group.rows.front();
    const auto prompt = tokens.subspan(offsets[first], group.prompt_length);
    const auto prompt_positions = positions_of(prompt, batch.image_ids[first]);
    const auto& images = batch.image_ids[first];
    packed.image_ids.insert(packed.image_ids.end(), images.begin(), images.end());
    core::Group layout{.begin = static_cast<int64_t>(token_ids.size()),
                       .prompt_length = group.prompt_length,
                       .completion_lengths = {}};
    token_ids.insert(token_ids.end(), prompt.begin(), prompt.end());
    positions.push_back(prompt_positions.positions);

    for (const auto row : group.rows) {
      const auto begin = offsets[row] + group.prompt_length, end = static_cast<int64_t>(offsets[row + 1]);
      const auto fed_begin = static_cast<int64_t>(token_ids.size());
      for (auto token = begin; token < end; ++token) {
        if (mask[token] != 0) {
          const auto previous = token == begin ? layout.begin + group.prompt_length - 1 : fed_begin + token - begin - 1;
          predicting_rows.push_back(previous);
          targets.push_back(tokens[token]);
          flat.push_back(token);
        }
        if (token + 1 < end) token_ids.push_back(tokens[token]);
      }
      const auto fed = static_cast<int64_t>(token_ids.size()) - fed_begin;
      const auto start = group.prompt_length + prompt_positions.delta;
      positions.push_back(at::arange(start, start + fed, at::kLong).expand({3, fed}));
      layout.completion_lengths.push_back(fed);
    }
    packed.groups.push_back(std::move(layout));
  }
  packed.token_ids = at::tensor(token_ids, at::kLong);
  packed.positions = at::cat(positions, 1).contiguous();
  packed.predicting_rows = at::tensor(predicting_rows, at::kLong);
  packed.targets = at::tensor(targets, at::kLong);
  packed.flat = at::tensor(flat, at::kLong);
  return packed;
}

}  // namespace sightloop::batches
