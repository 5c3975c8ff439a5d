#include <ATen/ATen.h>

#include "pipeline/rollout/session.h"

namespace sightloop::rollout {

// Computes the prompt of the first waiting completion and those after it that will start now, packed.
void Session::prefill(size_t first_waiting) {
  core::Stopwatch watch;
  const auto free_slots = max_running_ - static_cast<int64_t>(active_.size());
  std::vector<size_t> chosen;
  int64_t tokens = 0, started = 0;
  for (size_t i = static_cast<size_t>(completions_[first_waiting]->prompt_index);
       i < prompts_.size() && started < free_slots; ++i) {
    const auto length = static_cast<int64_t>(prompts_[i].token_ids.size());
    if (!chosen.empty() && tokens + length > options_.prefill_tokens) break;
    chosen.push_back(i);
    tokens += length;
    started += prompts_[i].waiting;
  }

  std::vector<int64_t> token_ids, boundaries{0}, rows, last;
  std::vector<at::Tensor> positions;
  std::vector<std::string> image_ids;
  for (const auto i : chosen) {
    auto& prompt = prompts_[i];
    const auto length = static_cast<int64_t>(prompt.token_ids.size());
    prompt.blocks = cache_.take(length);
    for (int64_t position = 0; position < length; ++position) rows.push_back(cache_.row(prompt.blocks, position));
    token_ids.insert(token_ids.end(), prompt.token_ids.begin(), prompt.token_ids.end());
    boundaries.push_back(boundaries.back() + length);
    last.push_back(boundaries.back() - 1);
    const auto placed = positions_of_(prompt.token_ids, prompt.image_ids);
    positions.push_back(placed.positions);
    prompt.delta = placed.delta;
    image_ids.insert(image_ids.end(), prompt.image_ids.begin(), prompt.image_ids.end());
  }
  const auto device = model_.device();
  PrefillContext context(cache_, boundaries, at::tensor(rows, at::kLong).to(device));
  timings_.prefill_seconds += watch.lap();
  timings_.prefilled_prompts += static_cast<int64_t>(chosen.size());
  const auto encoded_before = images_encoded_();
  const auto features = features_of_(image_ids);
  timings_.vision_images += images_encoded_() - encoded_before;
  timings_.vision_seconds += watch.lap();
  const auto embedded = model_.embed(at::tensor(token_ids, at::kLong), features);
  const auto hidden = model_.forward(embedded, at::cat(positions, 1), context, nullptr);
  const auto logits = model_.logits(hidden.index_select(0, at::tensor(last, at::kLong).to(device)), /*sampling=*/true);
  for (size_t i = 0; i < chosen.size(); ++i)
    prompts_[chosen[i]].logits = logits.narrow(0, static_cast<int64_t>(i), 1).clone();
  timings_.prefill_seconds += watch.lap();
}

}  // namespace sightloop::rollout
