#include <ATen/ATen.h>

#include <algorithm>

#include "pipeline/rollout/session.h"

namespace sightloop::rollout {
namespace {

constexpr int64_t kWidthStep = 32;  // blocks by which a device's block table grows

}  // namespace

// The batch has one of a few fixed sizes; slots past the active ones are idle.
int64_t Session::slots_for(int64_t active) const {
  auto count = std::max<int64_t>(1, max_running_);
  while (count / 2 >= active && count > 1) count = (count + 1) / 2;
  return std::max(count, active);
}

// Blocks of the longest row. A device's steps have one of a few widths, so that they can be recorded.
int64_t Session::table_width() const {
  size_t widest = 1;
  for (const auto& running : active_)
    widest = std::max(widest, prompt_of(running).blocks.size() + running.blocks.size());
  const auto needed = static_cast<int64_t>(widest);
  return decoder_->runs_ahead() ? (needed + kWidthStep - 1) / kWidthStep * kWidthStep : needed;
}

// Starts a step for every active completion that wants a token more than those under way.
void Session::launch() {
  const bool follows = !flights_.empty();
  std::vector<Running*> chosen;
  for (auto& running : active_) {
    const auto held = static_cast<int64_t>(completions_[running.completion]->token_ids.size());
    if (held + (follows ? running.ahead : 0) < options_.max_completion_tokens) chosen.push_back(&running);
  }
  if (chosen.empty()) return;
  for (auto* running : chosen) {  // the token to feed may start a new block
    const auto fed = static_cast<int64_t>(completions_[running->completion]->token_ids.size()) + running->ahead - 1;
    if (fed % cache_.block_size() == 0) running->blocks.push_back(cache_.take(1).front());
  }
  const auto slots = slots_for(static_cast<int64_t>(chosen.size())), width = table_width();
  DecodeInputs inputs(slots, width);
  Flight flight;
  for (size_t slot = 0; slot < chosen.size(); ++slot) {
    auto& running = *chosen[slot];
    const auto& completion = *completions_[running.completion];
    const auto& prompt = prompt_of(running);
    const auto prompt_length = static_cast<int64_t>(prompt.token_ids.size());
    const auto length = static_cast<int64_t>(completion.token_ids.size()) + running.ahead;  // the token fed included
    if (running.ahead > 0)
      inputs.sources.data_ptr<int64_t>()[slot] = running.slot;
    else
      inputs.token_ids.data_ptr<int64_t>()[slot] = completion.token_ids.back();
    inputs.positions.data_ptr<int64_t>()[slot] = prompt_length + length - 1 + prompt.delta;
    inputs.rows.data_ptr<int64_t>()[slot] = cache_.row(running.blocks, length - 1);
    auto* table = inputs.block_table.data_ptr<int32_t>() + static_cast<int64_t>(slot) * width;
    std::copy(running.blocks.begin(), running.blocks.end(),
              std::copy(prompt.blocks.begin(), prompt.blocks.end(), table));
    inputs.prompt_lengths.data_ptr<int32_t>()[slot] = static_cast<int32_t>(prompt_length);
    inputs.completion_lengths.data_ptr<int32_t>()[slot] = static_cast<int32_t>(length);
    inputs.draws.push_back(draw_of(completion, running.ahead));
    inputs.draws.back().row = static_cast<int64_t>(slot);
    running.ahead += 1;
    running.slot = static_cast<int64_t>(slot);
    flight.completions.push_back(running.completion);
  }
  decoder_->launch(inputs);
  flights_.push_back(std::move(flight));
}

// One token for every active completion. A step that was launched before it was known that a completion is over has drawn one
// more for it, which is left out.
void Session::decode(std::vector<const Completion*>& changed) {
  if (flights_.empty()) launch();
  if (decoder_->runs_ahead() && !options_.stream) launch();
  const auto samples = decoder_->read(timings_);
  const auto flight = std::move(flights_.front());
  flights_.pop_front();
  auto running = active_.begin();
  for (size_t slot = 0; slot < samples.size(); ++slot) {
    auto& completion = *completions_[flight.completions[slot]];
    if (completion.finish_reason) continue;
    while (running->completion != flight.completions[slot]) ++running;
    running->ahead -= 1;
    append(completion, samples[slot]);
    if (completion.finish_reason || options_.stream) changed.push_back(&completion);
  }
  std::erase_if(active_, [&](const Running& ended) {
    const bool over = completions_[ended.completion]->finish_reason.has_value();
    if (over) release(ended);
    return over;
  });
}

}  // namespace sightloop::rollout
