#include <ATen/ATen.h>

#include <algorithm>

#include "pipeline/rollout/session.h"

namespace sightloop::rollout {

batches::RolloutBatch Session::collect() const {
  TORCH_INTERNAL_ASSERT(done());
  const auto rows = static_cast<int64_t>(completions_.size());
  int64_t total = 0;
  for (const auto& completion : completions_)
    total += static_cast<int64_t>(prompts_[static_cast<size_t>(completion->prompt_index)].token_ids.size() +
                                  completion->token_ids.size());
  batches::RolloutBatch batch{.prompt_ids = at::empty({rows}, at::kLong),
                              .sample_indices = at::empty({rows}, at::kInt),
                              .policy_versions = at::full({rows}, policy_version_, at::kInt),
                              .token_ids = at::empty({total}, at::kInt),
                              .offsets = at::zeros({rows + 1}, at::kInt),
                              .completion_mask = at::zeros({total}, at::kByte),
                              .rollout_logprobs = at::zeros({total}, at::kFloat),
                              .sampling_logprobs = {},
                              .finish_reasons = {},
                              .image_ids = {}};
  if (std::ranges::any_of(options_.settings, [](const auto& setting) { return setting.sample.filters(); }))
    batch.sampling_logprobs = at::zeros({total}, at::kFloat);
  int64_t begin = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const auto& completion = *completions_[static_cast<size_t>(row)];
    const auto& prompt = prompts_[static_cast<size_t>(completion.prompt_index)];
    const auto first = begin + static_cast<int64_t>(prompt.token_ids.size());
    const auto length = static_cast<int64_t>(completion.token_ids.size());
    batch.prompt_ids.data_ptr<int64_t>()[row] = prompt.id;
    batch.sample_indices.data_ptr<int32_t>()[row] = completion.sample_index;
    auto* tokens = batch.token_ids.data_ptr<int32_t>();
    std::copy(prompt.token_ids.begin(), prompt.token_ids.end(), tokens + begin);
    std::copy(completion.token_ids.begin(), completion.token_ids.end(), tokens + first);
    std::fill_n(batch.completion_mask.data_ptr<uint8_t>() + first, length, uint8_t{1});
    std::copy(completion.logprobs.begin(), completion.logprobs.end(), batch.rollout_logprobs.data_ptr<float>() + first);
    if (batch.sampling_logprobs.defined())
      std::copy(completion.sampling_logprobs.begin(), completion.sampling_logprobs.end(),
                batch.sampling_logprobs.data_ptr<float>() + first);
    batch.finish_reasons.push_back(*completion.finish_reason);
    batch.image_ids.push_back(prompt.image_ids);
    begin = first + length;
    batch.offsets.data_ptr<int32_t>()[row + 1] = static_cast<int32_t>(begin);
  }
  return batch;
}

}  // namespace sightloop::rollout
