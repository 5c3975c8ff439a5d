#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "batches/batches.h"

namespace sightloop::batches {
namespace {

struct Row {
  std::span<const int32_t> tokens;
  int64_t prompt_length;  // tokens before the first sampled one
};

Row row_of(const RolloutBatch& batch, int64_t index) {
  const auto offsets = values<int32_t>(batch.offsets);
  const auto begin = static_cast<size_t>(offsets[index]), count = static_cast<size_t>(offsets[index + 1]) - begin;
  const auto mask = values<uint8_t>(batch.completion_mask).subspan(begin, count);
  return {.tokens = values<int32_t>(batch.token_ids).subspan(begin, count),
          .prompt_length = std::find(mask.begin(), mask.end(), uint8_t{1}) - mask.begin()};
}

bool same_prompt(const RolloutBatch& batch, int64_t a, int64_t b) {
  if (values<int64_t>(batch.prompt_ids)[a] != values<int64_t>(batch.prompt_ids)[b]) return false;
  const auto first = row_of(batch, a), second = row_of(batch, b);
  return first.prompt_length == second.prompt_length && batch.image_ids[a] == batch.image_ids[b] &&
         std::equal(first.tokens.begin(), first.tokens.begin() + first.prompt_length, second.tokens.begin());
}

// Completion tokens fed: all but the last.
int64_t fed_completion(const RolloutBatch& batch, int64_t index) {
  const auto row = row_of(batch, index);
  return std::max<int64_t>(0, static_cast<int64_t>(row.tokens.size()) - row.prompt_length - 1);
}

}  // namespace

int64_t RowGroup::fed_tokens(const RolloutBatch& batch) const {
  int64_t count = prompt_length;
  for (const auto row : rows) count += fed_completion(batch, row);
  return count;
}

std::vector<RowGroup> group_rows(const RolloutBatch& batch, std::span<const int64_t> rows) {
  std::vector<RowGroup> groups;
  for (const auto row : rows) {
    const auto prompt_length = row_of(batch, row).prompt_length;
    TORCH_CHECK(prompt_length > 0, "row ", row, ": a rollout needs a prompt token before its first sampled token");
    if (groups.empty() || !same_prompt(batch, groups.back().rows.front(), row))
      groups.push_back({.rows = {}, .prompt_length = prompt_length});
    groups.back().rows.push_back(row);
  }
  return groups;
}

std::vector<RowGroup> group_rows(const RolloutBatch& batch) {
  std::vector<int64_t> rows(batch.rows());
  std::iota(rows.begin(), rows.end(), 0);
  return group_rows(batch, rows);
}

std::vector<std::vector<RowGroup>> plan_microbatches(const RolloutBatch& batch, std::span<const RowGroup> groups,
                                                     int64_t tokens_per_microbatch) {
  std::vector<std::vector<RowGroup>> passes;
  int64_t used = 0;
  const auto add = [&](RowGroup group, int64_t tokens) {
    if (passes.empty() || used + tokens > tokens_per_microbatch) {
      passes.emplace_back();
      used = 0;
    }
    used += tokens;
    passes.back().push_back(std::move(group));
  };
  for (const auto& group : groups) {
    if (const auto tokens = group.fed_tokens(batch); tokens <= tokens_per_microbatch) {
      add(group, tokens);
      continue;
    }
    RowGroup part{.rows = {}, .prompt_length = group.prompt_length};
    int64_t tokens = group.prompt_length;
    for (const auto row : group.rows) {
      const auto more = fed_completion(batch, row);
      if (!part.rows.empty() && tokens + more > tokens_per_microbatch) {
        add(std::exchange(part, {.rows = {}, .prompt_length = group.prompt_length}), tokens);
        tokens = group.prompt_length;
      }
      part.rows.push_back(row);
      tokens += more;
    }
    add(std::move(part), tokens);
  }
  return passes;
}

}  // namespace sightloop::batches
