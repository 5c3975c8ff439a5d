#pragma once
#include "kernels/philox.cuh"
#include "kernels/sample_filter.cuh"

namespace sightloop::kernels::device {

// S rows of logits, one setting and one draw each; V vocabulary.
struct SampleInputs {
  const float* logits;                     // [S, V]
  const float* temperature;                // [S], 0: greedy
  const int32_t* top_k;                    // [S], 0: all
  const float* top_p;                      // [S], 1: all
  const int64_t* banned;                   // [banned_count] tokens, for all rows
  const int64_t* seed_step;                // [2]
  const int64_t* prompt_id;                // [S]
  const int32_t *sample_index, *position;  // [S]
  int count, banned_count;                 // V
};
struct SampleOutputs {
  int64_t* tokens;                                // [S]; -1 where the logits are not finite
  float *logprobs, *sampling_logprobs, *margins;  // [S]
};

// Shared memory: 256 bytes for sums, then a bit a token when any is banned.
constexpr int sample_shared(int64_t vocabulary, int64_t banned_count) {
  return 256 + (banned_count > 0 ? static_cast<int>((vocabulary + 31) / 32 * 4) : 0);
}

__device__ inline const uint32_t* mark_banned(const SampleInputs& inputs, uint32_t* bits) {
  if (inputs.banned_count == 0) return nullptr;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (int i = thread; i < divide_up(inputs.count, 32); i += threads) bits[i] = 0;
  __syncthreads();
  for (int i = thread; i < inputs.banned_count; i += threads) {
    const auto token = inputs.banned[i];
    if (token >= 0 && token < inputs.count) atomicOr(bits + token / 32, 1U << token % 32);
  }
  __syncthreads();
  return bits;
}

// kernels::sample for one row a block: same order, same filters, same uniform. Reads the row twice, and more often for
// filters. Weights are floats, e^(logit - the highest that is not banned), and their sums doubles.
template <int N>
__global__ void __launch_bounds__(1024) sample_rows(SampleInputs inputs, SampleOutputs outputs) {
  auto* shared = shared_memory();
  const auto slot = blockIdx.x;
  const float temperature = inputs.temperature[slot];
  SampleRow row{.logits = inputs.logits + static_cast<int64_t>(slot) * inputs.count,
                .count = inputs.count,
                .temperature = temperature == 0 ? 1 : temperature,
                .banned = mark_banned(inputs, reinterpret_cast<uint32_t*>(shared + 256))};
  RunningSums own;
  float highest = kMinusInfinity;  // of what is not banned
  each_pack<N>(row.logits, row.count, 1, [&](int i, const float(&logits)[N]) {
    float x[N];
    SIGHTLOOP_UNROLL
    for (int j = 0; j < N; ++j) {
      x[j] = row.scaled(logits[j]);
      if (!row.is_banned(i + j)) highest = fmaxf(highest, x[j]);
    }
    own.add(x);
  });
  const double log_sum = join(own, shared).log_sum;  // of the whole vocabulary
  highest = block_reduce(highest, Max(), reinterpret_cast<float*>(shared));
  if (!(log_sum - log_sum == 0)) {  // not finite
    if (threadIdx.x == 0) {
      outputs.tokens[slot] = -1;
      outputs.logprobs[slot] = outputs.sampling_logprobs[slot] = outputs.margins[slot] =
          static_cast<float>(log_sum - log_sum);  // NaN
    }
    return;
  }

  const auto weight = [&](int token, float x) -> double { return row.kept(token, x) ? expf(x - highest) : 0.0F; };
  keep_top_k<N>(row, inputs.top_k[slot], highest, shared);
  keep_top_p<N>(row, inputs.top_p[slot], highest, shared, weight);
  Inverted drawn;
  if (temperature == 0) {  // the first of the best tokens that are kept
    drawn = invert<N>(
        row, shared, [&](int token, float x) { return x == highest && row.kept(token, x) ? 1.0 : 0.0; },
        [](double) { return 1.0; });
    drawn.total = drawn.margin = 1;
  } else {
    const double uniform =
        device::uniform(static_cast<uint64_t>(inputs.seed_step[0]), static_cast<uint64_t>(inputs.seed_step[1]),
                        static_cast<uint64_t>(inputs.prompt_id[slot]), static_cast<uint32_t>(inputs.sample_index[slot]),
                        static_cast<uint32_t>(inputs.position[slot]));
    drawn = invert<N>(row, shared, weight, [&](double total) { return uniform * total; });
  }
  if (threadIdx.x > 0) return;
  const double chosen = row.scaled(row.logits[drawn.token]);
  outputs.tokens[slot] = drawn.token;
  outputs.logprobs[slot] = static_cast<float>(chosen - log_sum);
  outputs.sampling_logprobs[slot] = static_cast<float>(chosen - highest - log(drawn.total));
  outputs.margins[slot] = static_cast<float>(drawn.margin / drawn.total);
}

}  // namespace sightloop::kernels::device
