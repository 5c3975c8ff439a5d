#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "batches/batches.h"
#include "core/timings.h"
#include "kernels/kernels.h"
#include "pipeline/rollout/decoder.h"
#include "pipeline/rollout/kv_cache.h"

namespace sightloop::rollout {

// How some of a prompt's completions are drawn. Their random keys count samples from 0.
struct DrawSetting {
  kernels::SampleOptions sample;
  int64_t completions_per_prompt = 0;
};

// Fields as SamplingOptions in the TypeScript layer.
struct SamplingOptions {
  std::vector<DrawSetting> settings;  // in sample order; one alone draws as many as add() asks for
  int64_t max_completion_tokens = 0;
  std::vector<int64_t> stop_token_ids;
  uint64_t seed = 0, step = 0;
  int64_t max_concurrent_completions = 1;
  int64_t kv_block_size = 16;
  int64_t prefill_tokens = 8192;  // prompt tokens computed at once
  bool stream = false;
};

struct Completion {
  int64_t prompt_index = 0;  // place of its prompt in the session, in the order of add()
  int32_t sample_index = 0;
  size_t setting = 0;          // index into SamplingOptions::settings
  uint32_t setting_index = 0;  // of this sample in its setting: what random keys depend on
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs, sampling_logprobs;
  std::optional<batches::FinishReason> finish_reason;
};

// Samples completions by continuous batching over a paged cache: completions of one prompt share its blocks, a finished
// one's slot is refilled before the next decode step. The schedule depends only on prompts, options and lengths.
class Session {
 public:
  Session(const models::Model& model, SamplingOptions options, batches::PositionsOf positions_of,
          batches::FeaturesOf features_of, std::function<int64_t()> images_encoded, std::function<void()> check_weights,
          int32_t policy_version);

  void add(const batches::PromptBatch& prompts, int64_t completions_per_prompt);

  // Decodes until a completion finishes (with `stream`: one step) and returns what finished (or, with `stream`, all
  // that grew), in slot order. Empty once nothing is left. Throws core::Stopped between decode steps.
  std::vector<const Completion*> advance(const std::stop_token& stop);
  bool done() const { return waiting_.empty() && active_.empty(); }

  // All completions, in (prompt, sample) order; call when done().
  batches::RolloutBatch collect() const;
  int64_t prompt_id(const Completion& completion) const {
    return prompts_[static_cast<size_t>(completion.prompt_index)].id;
  }
  int64_t cache_bytes() const { return cache_.bytes(); }
  const core::RolloutTimings& timings() const { return timings_; }
  // Smallest kernels::Sample::margin of all tokens so far.
  float smallest_margin() const { return smallest_margin_; }

 private:
  struct Prompt {
    int64_t id;
    std::vector<int32_t> token_ids;
    std::vector<std::string> image_ids;
    std::vector<int32_t> blocks;  // while any of its completions is sampled
    at::Tensor logits;            // [1, V] of its last token, until all its completions have started
    int64_t delta = 0;            // rotary position of token i is i + delta, from the first completion token on
    int64_t waiting = 0;          // completions not started
    int64_t running = 0;
  };
  struct Running {
    size_t completion;  // index into completions_
    std::vector<int32_t> blocks;
    int64_t ahead = 0;  // tokens that are being drawn
    int64_t slot = 0;   // in the last step launched for it
  };
  // A step that was launched and not yet read.
  struct Flight {
    std::vector<size_t> completions;  // by slot
  };

  void check_prompt(std::span<const int32_t> tokens, const std::vector<std::string>& image_ids) const;
  int64_t blocks_for(int64_t slots) const;
  void reserve();
  void refill(std::vector<const Completion*>& changed);
  void prefill(size_t first_waiting);
  std::vector<kernels::Sample> first_tokens(const at::Tensor& logits, std::span<const Draw> draws) const;
  int64_t slots_for(int64_t active) const;
  int64_t table_width() const;
  void launch();
  void decode(std::vector<const Completion*>& changed);
  Draw draw_of(const Completion& completion, int64_t ahead) const;
  void append(Completion& completion, const kernels::Sample& sample);
  void release(const Running& running);
  const Prompt& prompt_of(const Running& running) const {
    return prompts_[static_cast<size_t>(completions_[running.completion]->prompt_index)];
  }

  const models::Model& model_;
  SamplingOptions options_;
  batches::PositionsOf positions_of_;
  batches::FeaturesOf features_of_;
  std::function<int64_t()> images_encoded_;  // how many have been since the engine was made
  std::function<void()> check_weights_;      // throws once the weights are not those the cache was filled with
  int32_t policy_version_;
  KvCache cache_;
  std::unique_ptr<Decoder> decoder_;
  core::RolloutTimings timings_;
  float smallest_margin_ = 1;
  std::vector<Prompt> prompts_;
  std::vector<std::unique_ptr<Completion>> completions_;  // in (prompt, sample) order; addresses stay
  std::deque<size_t> waiting_;                            // completions not started
  std::vector<Running> active_;
  std::deque<Flight> flights_;
  int64_t max_running_ = 1;  // completions at once: as asked, or as many as the device has room for
};

}  // namespace sightloop::rollout
