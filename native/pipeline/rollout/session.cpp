#include "pipeline/rollout/session.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "core/random.h"
#include "core/stop.h"

namespace sightloop::rollout {

Session::Session(const models::Model& model, SamplingOptions options, batches::PositionsOf positions_of,
                 batches::FeaturesOf features_of, std::function<int64_t()> images_encoded,
                 std::function<void()> check_weights, int32_t policy_version)
    : model_(model),
      options_(std::move(options)),
      positions_of_(std::move(positions_of)),
      features_of_(std::move(features_of)),
      images_encoded_(std::move(images_encoded)),
      check_weights_(std::move(check_weights)),
      policy_version_(policy_version),
      cache_(model, options_.kv_block_size) {}

void Session::add(const batches::PromptBatch& prompts, int64_t completions_per_prompt) {
  check_weights_();
  TORCH_CHECK(completions_per_prompt > 0, "completions_per_prompt must be positive, got ", completions_per_prompt);
  int64_t of_settings = 0;
  for (const auto& setting : options_.settings) of_settings += setting.completions_per_prompt;
  TORCH_CHECK(options_.settings.size() == 1 || of_settings == completions_per_prompt, "completions_per_prompt is ",
              completions_per_prompt, ", but the sampling settings ask for ", of_settings, " together");
  const auto offsets = batches::values<int32_t>(prompts.offsets);
  const auto tokens = batches::values<int32_t>(prompts.token_ids);
  const auto prompt_of = [&](int64_t row) { return tokens.subspan(offsets[row], offsets[row + 1] - offsets[row]); };
  // All rows are checked before any is queued.
  for (int64_t row = 0; row < prompts.rows(); ++row) check_prompt(prompt_of(row), prompts.image_ids[row]);
  for (int64_t row = 0; row < prompts.rows(); ++row) {
    const auto prompt = prompt_of(row);
    prompts_.push_back({.id = batches::values<int64_t>(prompts.prompt_ids)[row],
                        .token_ids = {prompt.begin(), prompt.end()},
                        .image_ids = prompts.image_ids[row],
                        .blocks = {},
                        .logits = {},
                        .waiting = completions_per_prompt});
    size_t setting = 0;
    int64_t setting_index = 0;
    for (int64_t sample = 0; sample < completions_per_prompt; ++sample, ++setting_index) {
      if (setting + 1 < options_.settings.size() &&
          setting_index == options_.settings[setting].completions_per_prompt) {
        setting += 1;
        setting_index = 0;
      }
      waiting_.push_back(completions_.size());
      completions_.push_back(
          std::make_unique<Completion>(Completion{.prompt_index = static_cast<int64_t>(prompts_.size()) - 1,
                                                  .sample_index = static_cast<int32_t>(sample),
                                                  .setting = setting,
                                                  .setting_index = static_cast<uint32_t>(setting_index),
                                                  .token_ids = {},
                                                  .logprobs = {},
                                                  .sampling_logprobs = {},
                                                  .finish_reason = std::nullopt}));
    }
  }
  reserve();
}

// Room for the longest that can be held at once: every slot's completion, and the prompts of as many completions.
void Session::reserve() {
  std::vector<int64_t> blocks;
  for (const auto& prompt : prompts_) {
    const auto started = std::min(prompt.waiting + prompt.running, options_.max_concurrent_completions);
    if (started > 0) blocks.push_back(cache_.blocks_for(static_cast<int64_t>(prompt.token_ids.size())));
  }
  std::sort(blocks.begin(), blocks.end(), std::greater<>());
  if (static_cast<int64_t>(blocks.size()) > options_.max_concurrent_completions)
    blocks.resize(static_cast<size_t>(options_.max_concurrent_completions));
  const auto slots =
      std::min(options_.max_concurrent_completions, static_cast<int64_t>(waiting_.size() + active_.size()));
  cache_.reserve(std::accumulate(blocks.begin(), blocks.end(), int64_t{0}) +
                 slots * cache_.blocks_for(options_.max_completion_tokens));
}

void Session::check_prompt(std::span<const int32_t> tokens, const std::vector<std::string>& image_ids) const {
  const auto& spec = model_.spec();
  TORCH_CHECK(!tokens.empty(), "a prompt is empty: it needs at least one token");
  for (const auto token : tokens)
    TORCH_CHECK(token >= 0 && token < spec.vocab_size, "token id ", token, " is outside the model's vocabulary of ",
                spec.vocab_size, ". The tokenizer does not belong to the checkpoint.");
  const auto longest = static_cast<int64_t>(tokens.size()) + options_.max_completion_tokens;
  TORCH_CHECK(longest <= spec.max_position_embeddings, "a prompt of ", tokens.size(), " tokens and ",
              options_.max_completion_tokens, " new ones exceed max_position_embeddings ", spec.max_position_embeddings,
              ". Lower max_completion_tokens or shorten the prompt.");
  positions_of_(tokens, image_ids);  // throws if images and image tokens disagree
}

std::vector<const Completion*> Session::advance(const std::stop_token& stop) {
  check_weights_();
  const at::NoGradGuard no_grad;
  std::vector<const Completion*> changed;
  while (changed.empty() && !done()) {
    core::throw_if_stopped(stop);
    refill(changed);
    if (!active_.empty() && !(options_.stream && !changed.empty())) decode(changed);
  }
  return changed;
}

// Starts waiting completions in free slots; each one's first token comes from its prompt's last logits.
void Session::refill(std::vector<const Completion*>& changed) {
  std::vector<float> scratch;
  while (!waiting_.empty() && static_cast<int64_t>(active_.size()) < options_.max_concurrent_completions) {
    const auto index = waiting_.front();
    auto& completion = *completions_[index];
    auto& prompt = prompts_[static_cast<size_t>(completion.prompt_index)];
    if (prompt.logits.empty()) prefill(index);
    waiting_.pop_front();
    prompt.waiting -= 1;
    prompt.running += 1;
    core::Stopwatch watch;
    draw(completion, prompt.logits, scratch);
    timings_.sampling_seconds += watch.lap();
    if (prompt.waiting == 0) std::vector<float>().swap(prompt.logits);
    Running running{.completion = index, .blocks = {}};
    if (completion.finish_reason) {
      release(running);
    } else {
      active_.push_back(std::move(running));
    }
    if (completion.finish_reason || options_.stream) changed.push_back(&completion);
  }
}

// Computes the prompt of the first waiting completion and those after it that will start now, packed.
void Session::prefill(size_t first_waiting) {
  core::Stopwatch watch;
  const auto free_slots = options_.max_concurrent_completions - static_cast<int64_t>(active_.size());
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
  PrefillContext context(cache_, boundaries, at::tensor(rows, at::kLong));
  timings_.prefill_seconds += watch.lap();
  timings_.prefilled_prompts += static_cast<int64_t>(chosen.size());
  const auto encoded_before = images_encoded_();
  const auto features = features_of_(image_ids);
  timings_.vision_images += images_encoded_() - encoded_before;
  timings_.vision_seconds += watch.lap();
  const auto embedded = model_.embed(at::tensor(token_ids, at::kLong), features);
  const auto hidden = model_.forward(embedded, at::cat(positions, 1), context, nullptr);
  const auto logits = model_.logits(hidden.index_select(0, at::tensor(last, at::kLong)), /*sampling=*/true);
  const auto width = logits.size(1);
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto* row = logits.data_ptr<float>() + static_cast<int64_t>(i) * width;
    prompts_[chosen[i]].logits.assign(row, row + width);
  }
  timings_.prefill_seconds += watch.lap();
}

void Session::draw(Completion& completion, std::span<const float> logits, std::vector<float>& scratch) {
  const auto& prompt = prompts_[static_cast<size_t>(completion.prompt_index)];
  const auto position = static_cast<uint32_t>(completion.token_ids.size());
  const auto drawn = kernels::sample(logits, options_.settings[completion.setting].sample,
                                     core::uniform({.seed = options_.seed,
                                                    .step = options_.step,
                                                    .prompt_id = static_cast<uint64_t>(prompt.id),
                                                    .sample_index = completion.setting_index,
                                                    .position = position}),
                                     scratch);
  completion.token_ids.push_back(static_cast<int32_t>(drawn.token));
  completion.logprobs.push_back(drawn.logprob);
  completion.sampling_logprobs.push_back(drawn.sampling_logprob);
  const auto& stops = options_.stop_token_ids;
  if (std::find(stops.begin(), stops.end(), drawn.token) != stops.end())
    completion.finish_reason = batches::FinishReason::stop;
  else if (static_cast<int64_t>(completion.token_ids.size()) >= options_.max_completion_tokens)
    completion.finish_reason = batches::FinishReason::length;
}

DecodeContext::Slots Session::slots(int64_t count) const {
  size_t widest = 1;
  const auto table_of = [&](const Running& running) {
    const auto& prompt = prompts_[static_cast<size_t>(completions_[running.completion]->prompt_index)];
    return std::pair{std::span(prompt.blocks), std::span(running.blocks)};
  };
  for (const auto& running : active_) {
    const auto [prompt, own] = table_of(running);
    widest = std::max(widest, prompt.size() + own.size());
  }
  DecodeContext::Slots slots{.rows = at::empty({static_cast<int64_t>(active_.size())}, at::kLong),
                             .block_table = at::zeros({count, static_cast<int64_t>(widest)}, at::kInt),
                             .prompt_lengths = at::zeros({count}, at::kInt),
                             .completion_lengths = at::zeros({count}, at::kInt)};
  for (size_t slot = 0; slot < active_.size(); ++slot) {
    const auto& completion = *completions_[active_[slot].completion];
    const auto [prompt, own] = table_of(active_[slot]);
    auto* table = slots.block_table.data_ptr<int32_t>() + slot * widest;
    std::copy(own.begin(), own.end(), std::copy(prompt.begin(), prompt.end(), table));
    const auto held = static_cast<int64_t>(completion.token_ids.size());
    slots.rows.data_ptr<int64_t>()[slot] = cache_.row(own, held - 1);
    slots.prompt_lengths.data_ptr<int32_t>()[slot] =
        static_cast<int32_t>(prompts_[static_cast<size_t>(completion.prompt_index)].token_ids.size());
    slots.completion_lengths.data_ptr<int32_t>()[slot] = static_cast<int32_t>(held);
  }
  return slots;
}

// One token for every active slot. The batch has one of a few fixed sizes; slots past the active ones are idle.
void Session::decode(std::vector<const Completion*>& changed) {
  core::Stopwatch watch;
  const auto active = static_cast<int64_t>(active_.size());
  int64_t count = std::max<int64_t>(1, options_.max_concurrent_completions);
  while (count / 2 >= active && count > 1) count = (count + 1) / 2;
  count = std::max(count, active);

  for (auto& running : active_) {  // the token to feed may start a new block
    const auto held = static_cast<int64_t>(completions_[running.completion]->token_ids.size());
    if ((held - 1) % cache_.block_size() == 0) running.blocks.push_back(cache_.take(1).front());
  }
  auto token_ids = at::zeros({count}, at::kLong), positions = at::zeros({count}, at::kLong);
  for (int64_t slot = 0; slot < active; ++slot) {
    const auto& completion = *completions_[active_[static_cast<size_t>(slot)].completion];
    const auto& prompt = prompts_[static_cast<size_t>(completion.prompt_index)];
    token_ids.data_ptr<int64_t>()[slot] = completion.token_ids.back();
    positions.data_ptr<int64_t>()[slot] =
        static_cast<int64_t>(prompt.token_ids.size() + completion.token_ids.size()) - 1 + prompt.delta;
  }
  DecodeContext context(cache_, slots(count));
  const auto embedded = model_.embed(token_ids, {});
  const auto hidden = model_.forward(embedded, positions.expand({3, count}), context, nullptr);
  const auto logits = model_.logits(hidden, /*sampling=*/true);  // [count, V]
  timings_.decode_seconds += watch.lap();
  const auto width = static_cast<size_t>(logits.size(1));
  at::parallel_for(0, active, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch;
    for (auto slot = begin; slot < end; ++slot)
      draw(*completions_[active_[static_cast<size_t>(slot)].completion],
           {logits.data_ptr<float>() + static_cast<size_t>(slot) * width, width}, scratch);
  });
  timings_.sampling_seconds += watch.lap();

  std::erase_if(active_, [&](const Running& running) {
    const auto& completion = *completions_[running.completion];
    if (completion.finish_reason || options_.stream) changed.push_back(&completion);
    if (completion.finish_reason) release(running);
    return completion.finish_reason.has_value();
  });
}

void Session::release(const Running& running) {
  auto& prompt = prompts_[static_cast<size_t>(completions_[running.completion]->prompt_index)];
  cache_.give_back(running.blocks);
  prompt.running -= 1;
  if (prompt.running > 0 || prompt.waiting > 0) return;
  cache_.give_back(prompt.blocks);
  prompt.blocks.clear();
}

}  // namespace sightloop::rollout
