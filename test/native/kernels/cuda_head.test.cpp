#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "doctest/doctest.h"
#include "emulation/cuda.h"
#include "kernels/cuda_help.h"

#include "kernels/head_rows.cuh"

namespace device = sightloop::kernels::device;
using sightloop::testing::close, sightloop::testing::data, sightloop::testing::each_kind, sightloop::testing::emulate;

namespace {

struct Results {
  at::Tensor logprobs, entropy, log_sums;
};

template <typename T, int N>
Results sum_rows(const at::Tensor& logits, const at::Tensor& targets, int64_t begin, float scale, unsigned threads) {
  const auto make = [&] { return at::full({targets.size(0)}, NAN); };
  const Results results{.logprobs = make(), .entropy = make(), .log_sums = make()};
  emulate({.x = static_cast<unsigned>(logits.size(0))}, {.x = threads}, 256, device::head_sum_rows<T, N>,
          data<T>(logits), data<int64_t>(targets),
          device::HeadResults{.logprobs = data<float>(results.logprobs),
                              .entropy = data<float>(results.entropy),
                              .log_sums = data<float>(results.log_sums)},
          begin, static_cast<int>(logits.size(1)), scale);
  return results;
}

}  // namespace

DOCTEST_TEST_CASE("cuda head rows agree with float64, sums and gradients, at any temperature and in any chunk") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    for (const auto& [rows, packs, threads, temperature] :
         {std::tuple{1, 1, 32U, 1.0}, {3, 37, 64U, 0.7}, {5, 500, 128U, 1.3}}) {
      const int vocabulary = packs * n;
      DOCTEST_CAPTURE(vocabulary);
      const int64_t begin = 2;
      const auto logits = (4 * at::randn({rows, vocabulary})).to(kind.dtype);
      const auto targets = at::randint(vocabulary, {begin + rows + 1}, at::kLong);
      const auto scale = static_cast<float>(1 / temperature);
      const auto results = sum_rows<T, n>(logits, targets, begin, scale, threads);
      const auto own = [&, count = rows](const at::Tensor& x) { return x.narrow(0, begin, count); };

      const auto wide = logits.to(at::kDouble).requires_grad_(true), all = at::log_softmax(wide / temperature, -1);
      const auto logprobs = all.gather(1, own(targets).unsqueeze(1)).squeeze(1), entropy = -(all.exp() * all).sum(-1);
      DOCTEST_CHECK(close(own(results.logprobs), logprobs.detach(), 1e-5));
      DOCTEST_CHECK(close(own(results.entropy), entropy.detach(), 1e-5));
      DOCTEST_CHECK(close(own(results.log_sums), (wide.detach() / temperature).logsumexp(-1), 1e-5));
      DOCTEST_CHECK(results.logprobs.isnan().sum().template item<int64_t>() ==
                    begin + 1);  // the others' rows stay as they were

      const auto a = at::randn({begin + rows + 1}), b = at::randn({begin + rows + 1});
      (logprobs * own(a).to(at::kDouble) + entropy * own(b).to(at::kDouble)).sum().backward();
      const auto dlogprobs = a / temperature, dentropy = b / temperature;
      emulate({.x = static_cast<unsigned>(rows)}, {.x = threads}, 0, device::head_differentiate_rows<T, n>,
              data<T>(logits), data<int64_t>(targets),
              device::HeadGradients{.log_sums = data<float>(results.log_sums),
                                    .entropy = data<float>(results.entropy),
                                    .dlogprobs = data<float>(dlogprobs),
                                    .dentropy = data<float>(dentropy)},
              begin, vocabulary, scale);
      DOCTEST_CHECK(close(logits, wide.grad(), kind.tolerance, sizeof(T) == 2 ? 0.01 : 1));
    }
  });
}

DOCTEST_TEST_CASE("cuda head rows hold out against logits far apart, and show those that are not finite") {
  const auto logits = at::zeros({6, 8});
  logits[0][3] = 1e4;
  logits[1].fill_(-1e4);
  logits[2].slice(0, 0, 6).fill_(-INFINITY);
  logits[3][5] = NAN;
  logits[4][0] = INFINITY;
  logits[5].fill_(-INFINITY);
  const auto results = sum_rows<float, 4>(logits, at::full({6}, 7, at::kLong), 0, 1, 32);
  const auto of = [](const at::Tensor& x, int64_t row) { return x[row].item<float>(); };
  DOCTEST_CHECK(of(results.logprobs, 0) == doctest::Approx(-1e4));
  DOCTEST_CHECK(of(results.entropy, 0) == 0);
  DOCTEST_CHECK(of(results.logprobs, 1) == doctest::Approx(-std::log(8)).epsilon(1e-3));  // of floats near 1e4
  DOCTEST_CHECK(of(results.logprobs, 2) == doctest::Approx(-std::log(2)));
  DOCTEST_CHECK(of(results.entropy, 2) == doctest::Approx(std::log(2)));
  for (const int64_t row : {3, 4, 5}) DOCTEST_CHECK_FALSE(std::isfinite(of(results.log_sums, row)));
}
