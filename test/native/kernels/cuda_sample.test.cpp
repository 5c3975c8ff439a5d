#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "doctest/doctest.h"
#include "emulation/cuda.h"
#include "kernels/cuda_help.h"

#include "kernels/kernels.h"
#include "kernels/sample.cuh"

namespace core = sightloop::core;
namespace kernels = sightloop::kernels;
namespace device = sightloop::kernels::device;
using sightloop::testing::close, sightloop::testing::data, sightloop::testing::emulate;

namespace {

struct Draws {
  at::Tensor temperature, top_k, top_p, banned, seed_step, prompt_id, sample_index, position;
};
Draws make_draws(int64_t slots, const std::vector<int64_t>& banned) {
  const auto any = [&](at::ScalarType dtype) { return at::randint(1 << 30, {slots}, dtype); };
  return {.temperature = at::ones({slots}),
          .top_k = at::zeros({slots}, at::kInt),
          .top_p = at::ones({slots}),
          .banned = at::tensor(banned, at::kLong),
          .seed_step = at::tensor({int64_t{1234567890123}, int64_t{42}}, at::kLong),
          .prompt_id = any(at::kLong) * ((int64_t{1} << 33) + 1),
          .sample_index = any(at::kInt),
          .position = any(at::kInt)};
}

struct Drawn {
  at::Tensor tokens, logprobs, sampling_logprobs, margins;
};
template <int N>
Drawn draw(const at::Tensor& logits, const Draws& draws, unsigned threads) {
  const auto slots = logits.size(0), vocabulary = logits.size(1), banned = draws.banned.size(0);
  const Drawn drawn{.tokens = at::full({slots}, -2, at::kLong),
                    .logprobs = at::empty({slots}),
                    .sampling_logprobs = at::empty({slots}),
                    .margins = at::empty({slots})};
  emulate({.x = static_cast<unsigned>(slots)}, {.x = threads},
          static_cast<size_t>(device::sample_shared(vocabulary, banned)), device::sample_rows<N>,
          device::SampleInputs{.logits = data<float>(logits),
                               .temperature = data<float>(draws.temperature),
                               .top_k = data<int32_t>(draws.top_k),
                               .top_p = data<float>(draws.top_p),
                               .banned = data<int64_t>(draws.banned),
                               .seed_step = data<int64_t>(draws.seed_step),
                               .prompt_id = data<int64_t>(draws.prompt_id),
                               .sample_index = data<int32_t>(draws.sample_index),
                               .position = data<int32_t>(draws.position),
                               .count = static_cast<int>(vocabulary),
                               .banned_count = static_cast<int>(banned)},
          device::SampleOutputs{.tokens = data<int64_t>(drawn.tokens),
                                .logprobs = data<float>(drawn.logprobs),
                                .sampling_logprobs = data<float>(drawn.sampling_logprobs),
                                .margins = data<float>(drawn.margins)});
  return drawn;
}

core::DrawKey key_of(const Draws& draws, int64_t slot) {
  return {.seed = static_cast<uint64_t>(data<int64_t>(draws.seed_step)[0]),
          .step = static_cast<uint64_t>(data<int64_t>(draws.seed_step)[1]),
          .prompt_id = static_cast<uint64_t>(data<int64_t>(draws.prompt_id)[slot]),
          .sample_index = static_cast<uint32_t>(data<int32_t>(draws.sample_index)[slot]),
          .position = static_cast<uint32_t>(data<int32_t>(draws.position)[slot])};
}

// Every slot against kernels::sample with the same key.
template <int N>
void check_rows(const at::Tensor& logits, const Draws& draws, unsigned threads) {
  const auto drawn = draw<N>(logits, draws, threads);
  const auto slots = logits.size(0), vocabulary = logits.size(1);
  const std::vector<int64_t> banned(data<int64_t>(draws.banned), data<int64_t>(draws.banned) + draws.banned.size(0));
  std::vector<float> scratch;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const kernels::SampleOptions options{.temperature = data<float>(draws.temperature)[slot],
                                         .top_k = data<int32_t>(draws.top_k)[slot],
                                         .top_p = data<float>(draws.top_p)[slot],
                                         .banned = banned};
    DOCTEST_CAPTURE(slot);
    DOCTEST_CAPTURE(options.temperature);
    DOCTEST_CAPTURE(options.top_k);
    DOCTEST_CAPTURE(options.top_p);
    const auto exact = kernels::sample({data<float>(logits) + slot * vocabulary, static_cast<size_t>(vocabulary)},
                                       options, core::uniform(key_of(draws, slot)), scratch);
    DOCTEST_CHECK(data<int64_t>(drawn.tokens)[slot] == exact.token);
    DOCTEST_CHECK(std::abs(data<float>(drawn.logprobs)[slot] - exact.logprob) <= 1e-5);
    DOCTEST_CHECK(std::abs(data<float>(drawn.sampling_logprobs)[slot] - exact.sampling_logprob) <= 1e-5);
    DOCTEST_CHECK(std::abs(data<float>(drawn.margins)[slot] - exact.margin) <= 1e-6);
  }
}

// Settings of every kind, slot by slot.
void vary(Draws& draws, int64_t vocabulary) {
  const std::vector<float> temperatures = {1, 0.7F, 0, 1.5F}, top_ps = {1, 0.9F, 0.5F, 1, 0.05F, 0, 0.99F};
  const std::vector<int64_t> top_ks = {0, 1, 5, 0, 50, vocabulary - 1, vocabulary, vocabulary + 9, 0, 2, 0};
  for (int64_t slot = 0; slot < draws.temperature.size(0); ++slot) {
    const auto at = static_cast<size_t>(slot);
    draws.temperature[slot] = temperatures[at % temperatures.size()];
    draws.top_p[slot] = top_ps[at / 2 % top_ps.size()];
    draws.top_k[slot] = top_ks[at / 3 % top_ks.size()];
  }
}

void uniforms(const uint64_t* keys, int count, double* out) {
  const auto i = blockIdx.x * blockDim.x + threadIdx.x;
  if (static_cast<int>(i) >= count) return;
  const auto* key = keys + 5 * i;
  out[i] = device::uniform(key[0], key[1], key[2], static_cast<uint32_t>(key[3]), static_cast<uint32_t>(key[4]));
}

// Weights are the row's own entries.
template <int N>
void invert_row(const float* weights, int count, double threshold, int* token, double* total, double* margin) {
  const device::SampleRow row{.logits = weights, .count = count, .temperature = 1, .banned = nullptr};
  const auto found = device::invert<N>(
      row, device::shared_memory(), [](int, float x) { return x; }, [&](double) { return threshold; });
  if (threadIdx.x == 33) *token = found.token, *total = found.total, *margin = found.margin;
}

}  // namespace

DOCTEST_TEST_CASE("cuda sample's uniform numbers are core::uniform's, bit for bit") {
  const auto keys = at::randint(std::numeric_limits<int64_t>::max(), {500, 5}, at::kLong);
  std::vector<double> drawn(500);
  emulate({.x = 8}, {.x = 64}, 0, uniforms, reinterpret_cast<uint64_t*>(data<int64_t>(keys)), 500, drawn.data());
  for (int64_t i = 0; i < 500; ++i) {
    const auto part = [&](int64_t j) { return static_cast<uint64_t>(data<int64_t>(keys)[5 * i + j]); };
    DOCTEST_CHECK(drawn[static_cast<size_t>(i)] == core::uniform({.seed = part(0),
                                                                  .step = part(1),
                                                                  .prompt_id = part(2),
                                                                  .sample_index = static_cast<uint32_t>(part(3)),
                                                                  .position = static_cast<uint32_t>(part(4))}));
  }
}

DOCTEST_TEST_CASE("cuda sample finds the first place where a running sum reaches a threshold, on its border too") {
  for (const int count : {1, 30, 33, 1000, 4096}) {
    const auto weights = at::randint(3, {count}, at::kFloat);
    weights[0] = 1;
    double total = 0;
    for (int i = 0; i < count; ++i) total += data<float>(weights)[i];
    for (const double threshold : {0.0, 0.5, 1.0, total / 3, std::floor(total / 2), total - 1, total, total + 1}) {
      int expected = 0, last = 0, token = -1;
      double sum = 0, whole = -1, margin = -1;
      for (int i = 0; i < count && (sum == 0 || sum < threshold); ++i) {
        if (data<float>(weights)[i] > 0) last = i;
        sum += data<float>(weights)[i];
      }
      expected = last;
      emulate({}, {.x = 96}, 256, count % 4 == 0 ? invert_row<4> : invert_row<1>, data<float>(weights), count,
              threshold, &token, &whole, &margin);
      DOCTEST_CAPTURE(count);
      DOCTEST_CAPTURE(threshold);
      DOCTEST_CHECK(token == expected);
      DOCTEST_CHECK(whole == total);
      const double from = sum - data<float>(weights)[expected];
      if (threshold <= total) DOCTEST_CHECK(margin == std::min(threshold - from, sum - threshold));
    }
  }
}

DOCTEST_TEST_CASE("cuda sample draws the CPU's tokens and log-probs for every temperature, filter and ban") {
  for (const auto& banned : {std::vector<int64_t>{}, {3, 17, 500, 999, -1, 100000}}) {
    auto draws = make_draws(231, banned);
    vary(draws, 1000);
    check_rows<4>(3 * at::randn({231, 1000}), draws, 64);
    auto odd = make_draws(77, banned);
    vary(odd, 61);
    check_rows<1>(2 * at::randn({77, 61}), odd, 96);
  }
  auto wide = make_draws(11, {7});
  vary(wide, 20000);
  check_rows<4>(at::randn({11, 20000}), wide, 1024);
}

DOCTEST_TEST_CASE("cuda sample obeys the CPU's order among equal logits, at the top-k and the top-p boundary") {
  auto draws = make_draws(231, {5});
  vary(draws, 96);
  check_rows<4>(at::round(at::randn({231, 96})), draws, 64);
  auto equal = make_draws(64, {});
  equal.top_p.fill_(0.5);
  check_rows<4>(at::zeros({64, 64}), equal, 64);  // half of them go, those of lower index
  equal.top_p.fill_(0);
  check_rows<4>(at::zeros({64, 64}), equal, 64);
}

DOCTEST_TEST_CASE("cuda sample bans the best token however far above the others it lies, and shows logits not finite") {
  auto draws = make_draws(7, {39, 2});
  draws.temperature[1] = 0;
  const auto logits = at::randn({7, 40});
  logits.slice(0, 0, 2).select(1, 2).fill_(500);
  logits[2].slice(0, 0, 30).fill_(-INFINITY);
  const auto finite = logits.slice(0, 0, 4).contiguous();
  check_rows<4>(finite, draws, 64);
  logits[4][11] = NAN;
  logits[5][12] = INFINITY;
  logits[6].fill_(-INFINITY);
  const auto drawn = draw<4>(logits, draws, 64);
  for (int64_t slot = 0; slot < 7; ++slot) {
    DOCTEST_CHECK((data<int64_t>(drawn.tokens)[slot] == -1) == (slot >= 4));
    DOCTEST_CHECK(std::isnan(data<float>(drawn.logprobs)[slot]) == (slot >= 4));
  }
}
