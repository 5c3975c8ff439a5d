#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

namespace sightloop::kernels {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The reference keeps ties with the k-th best token.
void keep_top_k(std::vector<float>& logits, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(logits.size())) return;
  std::vector<float> sorted = logits;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float kth = sorted[k - 1];
  for (auto& logit : logits)
    if (logit < kth) logit = kMinusInfinity;
}

// Drops the least likely tokens whose probabilities sum to at most 1 - p; the best token always stays.
void keep_top_p(std::vector<float>& logits, double p) {
  if (p >= 1) return;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] < logits[b]; });
  const float highest = logits[order.back()];
  double total = 0;
  for (const auto logit : logits) total += std::exp(static_cast<double>(logit) - highest);
  double tail = 0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    tail += std::exp(static_cast<double>(logits[order[i]]) - highest) / total;
    if (tail > 1 - p) break;
    logits[order[i]] = kMinusInfinity;
  }
}

constexpr double kSmallestTotal = 1e-20;
constexpr int64_t kBlock = 256;  // weights summed as floats before doubles take over

SIGHTLOOP_CPU_CLONES void divide(const float* x, int64_t count, float divisor, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] / divisor;
}

SIGHTLOOP_CPU_CLONES float maximum(const float* x, int64_t count) { return core::maximum(x, count); }

// x[i] = e^(x[i] - highest)
SIGHTLOOP_CPU_CLONES void weigh(float* x, int64_t count, float highest) {
  int64_t i = 0;
  for (; i + core::kLanes <= count; i += core::kLanes)
    core::store(x + i, core::exponential(core::load(x + i) - highest));
  if (i < count)
    core::store_part(x + i, count - i, core::exponential(core::load_part(x + i, count - i, highest) - highest));
}

SIGHTLOOP_CPU_CLONES double row_sum(const float* x, int64_t count) {
  return row_sums<1>(
      count, [&](int64_t i, int64_t valid) __attribute__((always_inline)) {
        return std::array{valid == core::kLanes ? core::load(x + i) : core::load_part(x + i, valid, 0)};
      })[0];
}

SIGHTLOOP_CPU_CLONES float block_sum(const float* x, int64_t count) {
  core::Lanes wide = {};
  int64_t i = 0;
  for (; i + core::kLanes <= count; i += core::kLanes) wide += core::load(x + i);
  float total = core::sum(wide);
  for (; i < count; ++i) total += x[i];
  return total;
}

double sum(std::span<const float> x) {
  double total = 0;
  for (size_t begin = 0; begin < x.size(); begin += kBlock)
    total += block_sum(x.data() + begin, std::min<int64_t>(kBlock, static_cast<int64_t>(x.size() - begin)));
  return total;
}

struct Inverted {
  int64_t token;
  double margin;  // from the threshold to the nearer end of the token's part of the sum
};
// The first place where the running sum of weights reaches `threshold`; the last positive weight if rounding keeps it below.
Inverted invert(std::span<const float> weights, double threshold) {
  double reached = 0, before = 0;
  size_t chosen = 0;  // where the block begins that holds the answer
  for (size_t begin = 0; begin < weights.size(); begin += kBlock) {
    const auto size = std::min<size_t>(kBlock, weights.size() - begin);
    const double total = block_sum(weights.data() + begin, static_cast<int64_t>(size));
    if (total > 0) chosen = begin, before = reached;
    reached += total;
    if (total > 0 && reached >= threshold) break;
  }
  const auto end = std::min(chosen + kBlock, weights.size());
  size_t last = chosen;
  double from = before;
  for (auto i = chosen; i < end && (before < threshold || last == chosen); ++i) {
    if (weights[i] <= 0) continue;
    last = i, from = before;
    before += weights[i];
    if (before >= threshold) break;
  }
  const double margin = std::min(threshold - from, before - threshold);
  return {.token = static_cast<int64_t>(last), .margin = std::max(0.0, margin)};
}

// Logits at the sampling temperature; greedy decoding reports those of temperature 1.
void scale(std::span<const float> logits, double temperature, std::vector<float>& scaled) {
  scaled.assign(logits.begin(), logits.end());
  if (temperature > 0 && temperature != 1)
    divide(logits.data(), static_cast<int64_t>(logits.size()), static_cast<float>(temperature), scaled.data());
}

void filter(std::vector<float>& logits, const SampleOptions& options) {
  for (const auto token : options.banned)
    if (token >= 0 && token < static_cast<int64_t>(logits.size())) logits[token] = kMinusInfinity;
  keep_top_k(logits, options.top_k);
  keep_top_p(logits, options.top_p);
}

}  // namespace

std::vector<float> filter_logits(std::span<const float> logits, const SampleOptions& options) {
  std::vector<float> kept;
  scale(logits, options.temperature, kept);
  filter(kept, options);
  return kept;
}

Sample sample(std::span<const float> logits, const SampleOptions& options, double uniform,
              std::vector<float>& scratch) {
  const auto count = static_cast<int64_t>(logits.size());
  const auto scaled = [&](int64_t token) {
    const auto plain = options.temperature == 0 || options.temperature == 1;
    return plain ? logits[token] : logits[token] / static_cast<float>(options.temperature);
  };
  scale(logits, options.temperature, scratch);
  float highest = maximum(scratch.data(), count);
  weigh(scratch.data(), count, highest);
  const double log_sum = highest + std::log(row_sum(scratch.data(), count));  // of the whole vocabulary
  TORCH_CHECK(std::isfinite(log_sum), "the model's logits are not finite: its weights have diverged, or are damaged");

  // Without a filter the weights serve on, unless all that is not banned has underflowed.
  for (const auto token : options.banned)
    if (token >= 0 && token < count) scratch[token] = 0;
  double total = options.temperature == 0 || options.filters() ? 0 : sum(scratch);
  if (total < kSmallestTotal) {
    scale(logits, options.temperature, scratch);
    filter(scratch, options);
    highest = maximum(scratch.data(), count);
    if (options.temperature == 0) {
      const auto token = std::find(scratch.begin(), scratch.end(), highest) - scratch.begin();
      return {
          .token = token, .logprob = static_cast<float>(scaled(token) - log_sum), .sampling_logprob = 0, .margin = 1};
    }
    weigh(scratch.data(), count, highest);
    total = sum(scratch);
  }
  const auto [token, margin] = invert(scratch, uniform * total);
  return {.token = token,
          .logprob = static_cast<float>(scaled(token) - log_sum),
          .sampling_logprob = static_cast<float>(scaled(token) - highest - std::log(total)),
          .margin = static_cast<float>(margin / total)};
}

}  // namespace sightloop::kernels
