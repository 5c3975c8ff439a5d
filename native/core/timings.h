#pragma once
#include <chrono>
#include <cstdint>
#include <utility>

namespace sightloop::core {

// Wall-clock seconds since it was made or last asked.
class Stopwatch {
 public:
  double lap() {
    const auto now = Clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

// Where one rollout session's time went, and on how much. Fields as RolloutTimings in the TypeScript layer.
struct RolloutTimings {
  double vision_seconds = 0;    // image features: patches, tower, connector
  double prefill_seconds = 0;   // prompts, features excluded, up to their last logits
  double decode_seconds = 0;    // decode steps up to their logits
  double sampling_seconds = 0;  // draws from logits
  int64_t prefilled_prompts = 0;
  int64_t vision_images = 0;  // whose features were computed; kept ones are not
};

}  // namespace sightloop::core
