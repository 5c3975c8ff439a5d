#pragma once
#include "kernels/row_sums.cuh"

// One row of logits as the sampler sees it, and searches in it by a whole block of threads. Every thread calls each function
// and gets the same result; sums are doubles, added in one order.
namespace sightloop::kernels::device {

struct SampleRow {
  const float* logits;
  int count;
  float temperature;       // 1 when greedy
  const uint32_t* banned;  // a bit a token, or null: none
  // A token is kept if it lies above `floor`, or on it and its index is not below `cut`.
  float floor = kMinusInfinity;
  int cut = 0;

  __device__ float scaled(float logit) const { return temperature == 1 ? logit : logit / temperature; }
  __device__ bool is_banned(int token) const {
    return banned != nullptr && (banned[token / 32] >> token % 32 & 1) != 0;
  }
  __device__ float allowed(int token, float logit) const { return is_banned(token) ? kMinusInfinity : scaled(logit); }
  __device__ bool kept(int token, float x) const { return x > floor || (x == floor && token >= cut); }
};

// use(token, x) for this lane's share of the tokens begin .. end - 1, N at a time; x = -infinity if the token is banned.
// N divides begin, and the row's start is aligned to N floats.
template <int N, typename Use>
__device__ __forceinline__ void each_token(const SampleRow& row, int begin, int end, int lane, int lanes,
                                           const Use& use) {
  for (int i = begin + lane * N; i < end; i += lanes * N) {
    const auto pack = load<N>(row.logits + i);  // may reach beyond `end`, never beyond the row
    SIGHTLOOP_UNROLL
    for (int j = 0; j < N; ++j)
      if (N == 1 || i + j < end) use(i + j, row.allowed(i + j, pack[j]));
  }
}

// Sum over the row of K measures.   measure(token, x, sums): adds to them   shared: 256 bytes
template <int N, int K, typename Measure>
__device__ __forceinline__ void sum_tokens(const SampleRow& row, double (&sums)[K], unsigned char* shared,
                                           const Measure& measure) {
  for (auto& sum : sums) sum = 0;
  each_token<N>(row, 0, row.count, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x),
                [&](int token, float x) { measure(token, x, sums); });
  for (auto& sum : sums) sum = block_reduce(sum, Add(), reinterpret_cast<double*>(shared));
}

struct Inverted {
  int token;  // the first where the running sum of weights reaches the threshold; the last of positive weight if none does
  double total;   // of all weights
  double margin;  // from the threshold to the nearer end of the token's part of the sum
};

// weight(token, x) >= 0, threshold(total).   The range is cut into one piece a warp, the piece that holds the answer again,
// and so on.   shared: 256 bytes
template <int N, typename Weight, typename Threshold>
__device__ inline Inverted invert(const SampleRow& row, unsigned char* shared, const Weight& weight,
                                  const Threshold& threshold) {
  auto* pieces = reinterpret_cast<double*>(shared);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32),
            warps = static_cast<int>(blockDim.x / 32);
  int begin = 0, end = row.count;
  double before = 0, sought = 0, whole = 0;
  for (bool first = true; first || end - begin > 32; first = false) {
    const int size = divide_up(divide_up(end - begin, warps), 4) * 4;
    const int from = smaller(begin + warp * size, end), to = smaller(from + size, end);
    double sum = 0;
    each_token<N>(row, from, to, lane, 32, [&](int token, float x) { sum += weight(token, x); });
    sum = warp_reduce(sum, Add());
    if (lane == 0) pieces[warp] = sum;
    __syncthreads();
    if (first) {
      for (int i = 0; i < warps; ++i) whole += pieces[i];
      sought = threshold(whole);
    }
    int chosen = 0;
    double reached = before;
    for (int i = 0; i < warps; ++i) {
      if (!(pieces[i] > 0)) continue;
      chosen = i, before = reached;
      reached += pieces[i];
      if (reached >= sought) break;
    }
    __syncthreads();
    begin += chosen * size;
    end = smaller(begin + size, end);
  }
  int last = begin;
  double from = before;
  for (int token = begin; token < end; ++token) {
    const double term = weight(token, row.allowed(token, row.logits[token]));
    if (!(term > 0)) continue;
    last = token, from = before;
    before += term;
    if (before >= sought) break;
  }
  const double margin = sought - from < before - sought ? sought - from : before - sought;
  return {.token = last, .total = whole, .margin = margin > 0 ? margin : 0};
}

}  // namespace sightloop::kernels::device
