#include "pipeline/rollout/session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

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
      cache_(model, options_.kv_block_size),
      decoder_(create_decoder(model, cache_)) {}

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

// Blocks for `slots` completions of full length, and for the longest prompts that so many can have.
int64_t Session::blocks_for(int64_t slots) const {
  std::vector<int64_t> blocks;
  for (const auto& prompt : prompts_)
    if (prompt.waiting + prompt.running > 0)
      blocks.push_back(cache_.blocks_for(static_cast<int64_t>(prompt.token_ids.size())));
  std::sort(blocks.begin(), blocks.end(), std::greater<>());
  blocks.resize(std::min(blocks.size(), static_cast<size_t>(slots)));
  return std::accumulate(blocks.begin(), blocks.end(), int64_t{0}) +
         slots * cache_.blocks_for(options_.max_completion_tokens);
}

// Room for the longest that can be held at once. Where a device has less, fewer completions run at once.
void Session::reserve() {
  max_running_ = options_.max_concurrent_completions;
  const auto left = static_cast<int64_t>(waiting_.size() + active_.size());
  const auto affordable = cache_.affordable();
  while (max_running_ > 1 && blocks_for(std::min(max_running_, left)) > affordable) max_running_ -= 1;
  const auto needed = blocks_for(std::min(max_running_, left));
  TORCH_CHECK(needed <= affordable, "the device has no room for the keys and values of one completion: ", needed,
              " blocks are needed, ", affordable, " fit. Lower max_completion_tokens, or free memory on the device.");
  cache_.reserve(needed);
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
  while (!waiting_.empty() && static_cast<int64_t>(active_.size()) < max_running_) {
    auto& prompt = prompts_[static_cast<size_t>(completions_[waiting_.front()]->prompt_index)];
    if (!prompt.logits.defined()) prefill(waiting_.front());
    core::Stopwatch watch;
    const auto count =
        static_cast<size_t>(std::min(prompt.waiting, max_running_ - static_cast<int64_t>(active_.size())));
    std::vector<Draw> draws;
    for (size_t i = 0; i < count; ++i) draws.push_back(draw_of(*completions_[waiting_[i]], 0));
    const auto samples = first_tokens(prompt.logits, draws);
    timings_.sampling_seconds += watch.lap();
    prompt.waiting -= static_cast<int64_t>(count);
    prompt.running += static_cast<int64_t>(count);
    if (prompt.waiting == 0) prompt.logits.reset();
    for (const auto& sample : samples) {
      Running running{.completion = waiting_.front(), .blocks = {}};
      waiting_.pop_front();
      auto& completion = *completions_[running.completion];
      append(completion, sample);
      if (completion.finish_reason || options_.stream) changed.push_back(&completion);
      if (completion.finish_reason)
        release(running);
      else
        active_.push_back(std::move(running));
    }
  }
}

// One row of logits, drawn from several times.
std::vector<kernels::Sample> Session::first_tokens(const at::Tensor& logits, std::span<const Draw> draws) const {
  if (logits.is_cpu()) return draw_on_host(logits, draws);
  const auto rows = logits.expand({static_cast<int64_t>(draws.size()), -1}).contiguous();
  return checked(draw_on_device(rows, draw_columns(draws).to(logits.device())).on_host());
}

// The draw of a completion's next token, or, with `ahead`, of one so many tokens later.
Draw Session::draw_of(const Completion& completion, int64_t ahead) const {
  const auto& prompt = prompts_[static_cast<size_t>(completion.prompt_index)];
  return {.options = &options_.settings[completion.setting].sample,
          .key = {.seed = options_.seed,
                  .step = options_.step,
                  .prompt_id = static_cast<uint64_t>(prompt.id),
                  .sample_index = completion.setting_index,
                  .position = static_cast<uint32_t>(static_cast<int64_t>(completion.token_ids.size()) + ahead)}};
}

void Session::append(Completion& completion, const kernels::Sample& sample) {
  smallest_margin_ = std::min(smallest_margin_, sample.margin);
  completion.token_ids.push_back(static_cast<int32_t>(sample.token));
  completion.logprobs.push_back(sample.logprob);
  completion.sampling_logprobs.push_back(sample.sampling_logprob);
  const auto& stops = options_.stop_token_ids;
  if (std::find(stops.begin(), stops.end(), sample.token) != stops.end())
    completion.finish_reason = batches::FinishReason::stop;
  else if (static_cast<int64_t>(completion.token_ids.size()) >= options_.max_completion_tokens)
    completion.finish_reason = batches::FinishReason::length;
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
