#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/cpu.h"
#include "kernels/kernels.h"

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

SIGHTLOOP_CPU_CLONES float maximum(const float* x, int64_t count) {
  float highest = kMinusInfinity;
#pragma omp simd reduction(max : highest)
  for (int64_t i = 0; i < count; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

double log_sum_exp(std::span<const float> logits) {
  const float highest = maximum(logits.data(), static_cast<int64_t>(logits.size()));
  double total = 0;
  for (const auto logit : logits) total += std::exp(logit - highest);
  return highest + std::log(total);
}

// Logits at the sampling temperature; greedy decoding reports those of temperature 1.
std::vector<float> scaled(std::span<const float> logits, double temperature) {
  std::vector<float> result(logits.begin(), logits.end());
  if (temperature > 0 && temperature != 1)
    for (auto& logit : result) logit /= static_cast<float>(temperature);
  return result;
}

void filter(std::vector<float>& logits, const SampleOptions& options) {
  for (const auto token : options.banned)
    if (token >= 0 && token < static_cast<int64_t>(logits.size())) logits[token] = kMinusInfinity;
  keep_top_k(logits, options.top_k);
  keep_top_p(logits, options.top_p);
}

}  // namespace

std::vector<float> filter_logits(std::span<const float> logits, const SampleOptions& options) {
  auto kept = scaled(logits, options.temperature);
  filter(kept, options);
  return kept;
}

Sample sample(std::span<const float> logits, const SampleOptions& options, double uniform) {
  auto kept = scaled(logits, options.temperature);
  const double full = log_sum_exp(kept);
  TORCH_CHECK(std::isfinite(full), "the model's logits are not finite: its weights have diverged, or are damaged");
  const auto all = kept;
  filter(kept, options);

  if (options.temperature == 0) {
    const auto token = std::max_element(kept.begin(), kept.end()) - kept.begin();
    return {.token = token, .logprob = static_cast<float>(all[token] - full), .sampling_logprob = 0};
  }
  const float highest = maximum(kept.data(), static_cast<int64_t>(kept.size()));
  double total = 0;
  for (const auto logit : kept) total += std::exp(logit - highest);
  const double threshold = uniform * total;
  double sum = 0;
  int64_t token = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(kept.size()); ++i) {
    if (kept[i] == kMinusInfinity) continue;
    token = i;  // the last token of non-zero probability if rounding leaves the sum below the threshold
    sum += std::exp(kept[i] - highest);
    if (sum >= threshold) break;
  }
  return {.token = token,
          .logprob = static_cast<float>(all[token] - full),
          .sampling_logprob = static_cast<float>(kept[token] - highest - std::log(total))};
}

}  // namespace sightloop::kernels
