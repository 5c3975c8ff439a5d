#pragma once
#include "kernels/row_sums.cuh"

// The LM head's rows, one block each.   logits [R, V], V a multiple of N   everything else [T] float32, of which rows `begin`
// .. begin + R - 1 belong to these logits. `scale` is 1 / temperature.
namespace sightloop::kernels::device {

struct HeadResults {
  float *logprobs, *entropy, *log_sums;
};

template <typename T, int N>
__global__ void __launch_bounds__(512)
    head_sum_rows(const T* logits, const int64_t* targets, HeadResults results, int64_t begin, int count, float scale) {
  const T* row = logits + static_cast<int64_t>(blockIdx.x) * count;
  RunningSums own;
  each_pack<N>(row, count, scale, [&](int, const float(&x)[N]) { own.add(x); });
  const auto sums = join(own, shared_memory());
  if (threadIdx.x > 0) return;
  const auto place = begin + blockIdx.x;
  results.logprobs[place] = static_cast<float>(static_cast<float>(row[targets[place]]) * scale - sums.log_sum);
  results.entropy[place] = static_cast<float>(sums.log_sum - sums.mean);
  results.log_sums[place] = static_cast<float>(sums.log_sum);
}

struct HeadGradients {
  const float *log_sums, *entropy, *dlogprobs, *dentropy;  // the last two already divided by the temperature
};

// In place, logits to gradients: d logprob / d logit_j = [j = target] - p_j;  d entropy / d logit_j = -p_j (log p_j + entropy).
template <typename T, int N>
__global__ void __launch_bounds__(512) head_differentiate_rows(T* logits, const int64_t* targets, HeadGradients given,
                                                               int64_t begin, int count, float scale) {
  T* row = logits + static_cast<int64_t>(blockIdx.x) * count;
  const auto place = begin + blockIdx.x;
  const auto target = targets[place];
  const float log_sum = given.log_sums[place], dlogprob = given.dlogprobs[place], dentropy = given.dentropy[place],
              constant = dlogprob + dentropy * given.entropy[place];
  each_pack<N>(row, count, scale, [&](int i, const float(&x)[N]) {
    Pack<T, N> result;
    SIGHTLOOP_UNROLL
    for (int j = 0; j < N; ++j) {
      const float log_p = x[j] - log_sum, gradient = -expf(log_p) * (constant + dentropy * log_p);
      result.values[j] = static_cast<T>(i + j == target ? gradient + dlogprob : gradient);
    }
    store<N>(row + i, result);
  });
}

}  // namespace sightloop::kernels::device
