#include <ATen/ATen.h>

#include <array>

#include "pipeline/rollout/decode_graph.h"
#include "pipeline/rollout/decoder.h"

namespace sightloop::rollout {

DecodeInputs::DecodeInputs(int64_t slots, int64_t blocks)
    : token_ids(at::zeros({slots}, at::kLong)),
      sources(at::full({slots}, -1, at::kLong)),
      positions(at::zeros({slots}, at::kLong)),
      rows(at::full({slots}, -1, at::kLong)),
      block_table(at::zeros({slots, blocks}, at::kInt)),
      prompt_lengths(at::zeros({slots}, at::kInt)),
      completion_lengths(at::zeros({slots}, at::kInt)) {}

// Idle slots draw greedily: the cheapest.
PackedInputs::PackedInputs(const DecodeInputs& inputs)
    : integers(at::zeros({inputs.slots(), kColumns + inputs.block_table.size(1)}, at::kLong)),
      numbers(at::zeros({inputs.slots(), 2}, at::kFloat)) {
  const auto count = static_cast<int64_t>(inputs.draws.size());
  const auto columns = draw_columns(inputs.draws);
  banned = columns.banned;
  seed_step = columns.seed_step;
  const auto put = [&](Column column, const at::Tensor& values) {
    integers.select(1, column).narrow(0, 0, values.size(0)).copy_(values);
  };
  put(kTokenId, inputs.token_ids);
  put(kSource, inputs.sources);
  put(kPosition, inputs.positions);
  put(kRow, inputs.rows);
  put(kPromptLength, inputs.prompt_lengths);
  put(kCompletionLength, inputs.completion_lengths);
  put(kPromptId, columns.prompt_ids);
  put(kSampleIndex, columns.sample_indices);
  put(kDrawPosition, columns.positions);
  put(kTopK, columns.top_k);
  integers.narrow(1, kColumns, inputs.block_table.size(1)).copy_(inputs.block_table);
  numbers.select(1, 0).narrow(0, 0, count).copy_(columns.temperatures);
  numbers.select(1, 1).fill_(1);
  numbers.select(1, 1).narrow(0, 0, count).copy_(columns.top_p);
}

at::Tensor PackedInputs::block_table() const {
  return integers.narrow(1, kColumns, integers.size(1) - kColumns).to(at::kInt).contiguous();
}

DrawColumns PackedInputs::draws() const {
  return {.prompt_ids = column(kPromptId),
          .sample_indices = column(kSampleIndex, at::kInt),
          .positions = column(kDrawPosition, at::kInt),
          .top_k = column(kTopK, at::kInt),
          .temperatures = numbers.select(1, 0).contiguous(),
          .top_p = numbers.select(1, 1).contiguous(),
          .banned = banned,
          .seed_step = seed_step};
}

at::Tensor PackedInputs::fed_tokens(const at::Tensor& last_tokens) const {
  const auto token_ids = column(kTokenId), sources = column(kSource);
  if (!last_tokens.defined()) return token_ids;
  const auto drawn = last_tokens.index_select(0, sources.clamp(0, last_tokens.size(0) - 1));
  return at::where(sources.ge(0), drawn, token_ids);
}

}  // namespace sightloop::rollout
