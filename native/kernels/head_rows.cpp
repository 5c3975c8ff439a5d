#include "kernels/head_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/cuda.h"
#include "kernels/row_sums.h"

namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

struct RowSums {
  double log_sum;     // log of the sum of e^logit
  double mean_logit;  // under the distribution
};

SIGHTLOOP_CPU_CLONES RowSums sum_row(const float* logits, int64_t count) {
  const float highest = core::maximum(logits, count);
  // of e^(logit - highest), and of that times (logit - highest)
  const auto sums = row_sums<2>(
      count, [&](int64_t i, int64_t valid) __attribute__((always_inline)) {
        if (valid == kLanes) {
          const Lanes x = core::load(logits + i) - highest, weight = core::exponential(x);
          return std::array{weight, weight * x};
        }
        const Lanes x = core::load_part(logits + i, valid, highest) - highest;
        Lanes weight = core::exponential(x);
        for (auto l = valid; l < kLanes; ++l) weight[l] = 0;
        return std::array{weight, Lanes(weight * x)};
      });
  return {.log_sum = highest + std::log(sums[0]), .mean_logit = highest + sums[1] / sums[0]};
}

// In place, logits to gradients: d logprob / d logit_j = [j = target] - p_j;  d entropy / d logit_j = -p_j (log p_j + entropy).
//   dlogprob, dentropy: gradients of the row's two results, both already divided by the temperature
SIGHTLOOP_CPU_CLONES void differentiate_row(float* logits, int64_t count, float log_sum, float entropy, float dlogprob,
                                            float dentropy) {
  const float constant = dlogprob + dentropy * entropy;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes log_p = core::load(logits + i) - log_sum;
    core::store(logits + i, -core::exponential(log_p) * (constant + dentropy * log_p));
  }
  for (; i < count; ++i) {
    const float log_p = logits[i] - log_sum;
    logits[i] = -std::exp(log_p) * (constant + dentropy * log_p);
  }
}

void sum_rows_reference(const at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows) {
  const auto log_sums = logits.logsumexp(1);
  const auto p = (logits - log_sums.unsqueeze(1)).exp();
  rows.log_sums.copy_(log_sums);
  rows.logprobs.copy_(logits.gather(1, targets.unsqueeze(1)).squeeze(1) - log_sums);
  rows.entropy.copy_(log_sums - (p * logits).sum(1));
}

void differentiate_rows_reference(at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows,
                                  const at::Tensor& dlogprobs, const at::Tensor& dentropy) {
  const auto log_p = logits - rows.log_sums.unsqueeze(1);
  const auto constant = (dlogprobs + dentropy * rows.entropy).unsqueeze(1);
  logits.copy_(-log_p.exp() * (constant + dentropy.unsqueeze(1) * log_p));
  logits.scatter_add_(1, targets.unsqueeze(1), dlogprobs.unsqueeze(1));
}

}  // namespace

HeadRows HeadRows::narrow(int64_t begin, int64_t count) const {
  return {.logprobs = logprobs.narrow(0, begin, count),
          .entropy = entropy.narrow(0, begin, count),
          .log_sums = log_sums.narrow(0, begin, count)};
}

void sum_rows(const at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows) {
  if (logits.is_cuda()) {
    auto results = rows;
    return cuda::head_row_sums(logits, targets, /*inverse_temperature=*/1, results.logprobs, results.entropy,
                               results.log_sums, /*begin=*/0);
  }
  if (!logits.is_cpu()) return sum_rows_reference(logits, targets, rows);
  const auto vocabulary = logits.size(1);
  at::parallel_for(0, logits.size(0), 1, [&](int64_t first, int64_t last) {
    for (auto row = first; row < last; ++row) {
      const auto* values = logits.const_data_ptr<float>() + row * vocabulary;
      const auto sums = sum_row(values, vocabulary);
      rows.logprobs.data_ptr<float>()[row] =
          static_cast<float>(values[targets.const_data_ptr<int64_t>()[row]] - sums.log_sum);
      rows.entropy.data_ptr<float>()[row] = static_cast<float>(sums.log_sum - sums.mean_logit);
      rows.log_sums.data_ptr<float>()[row] = static_cast<float>(sums.log_sum);
    }
  });
}

void differentiate_rows(at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows,
                        const at::Tensor& dlogprobs, const at::Tensor& dentropy) {
  if (logits.is_cuda())
    return cuda::head_differentiate(logits, targets, rows.log_sums, rows.entropy, dlogprobs, dentropy, /*begin=*/0,
                                    /*inverse_temperature=*/1);
  if (!logits.is_cpu()) return differentiate_rows_reference(logits, targets, rows, dlogprobs, dentropy);
  const auto vocabulary = logits.size(1);
  at::parallel_for(0, logits.size(0), 1, [&](int64_t first, int64_t last) {
    for (auto row = first; row < last; ++row) {
      auto* values = logits.data_ptr<float>() + row * vocabulary;
      const auto of_row = [&](const at::Tensor& x) { return x.const_data_ptr<float>()[row]; };
      differentiate_row(values, vocabulary, of_row(rows.log_sums), of_row(rows.entropy), of_row(dlogprobs),
                        of_row(dentropy));
      values[targets.const_data_ptr<int64_t>()[row]] += of_row(dlogprobs);
    }
  });
}

}  // namespace sightloop::kernels
