#include <ATen/ATen.h>

#include <cmath>

#include "doctest/doctest.h"
#include "kernels/kernels.h"

namespace kernels = sightloop::kernels;

DOCTEST_TEST_CASE("lm_head_logprobs agrees with the whole logits, values and gradients, across chunks") {
  for (const int64_t vocabulary : {7, 70000}) {  // the second needs several chunks
    const int64_t rows = vocabulary == 7 ? 5 : 250;
    for (const double temperature : {1.0, 0.7}) {
      DOCTEST_CAPTURE(vocabulary);
      DOCTEST_CAPTURE(temperature);
      const auto hidden = at::randn({rows, 3}).requires_grad_(true),
                 weight = at::randn({vocabulary, 3}).requires_grad_(true);
      const auto targets = at::randint(vocabulary, {rows}, at::kLong);
      const auto wide_hidden = hidden.detach().to(at::kDouble).requires_grad_(true),
                 wide_weight = weight.detach().to(at::kDouble).requires_grad_(true);
      const auto result = kernels::lm_head_logprobs(hidden, weight, targets, temperature);
      const auto all = at::log_softmax(at::linear(wide_hidden, wide_weight) / temperature, -1);
      const auto logprobs = all.gather(1, targets.unsqueeze(1)).squeeze(1), entropy = -(all.exp() * all).sum(-1);
      DOCTEST_CHECK(at::allclose(result.logprobs.to(at::kDouble), logprobs, 1e-5, 1e-4));
      DOCTEST_CHECK(at::allclose(result.entropy.to(at::kDouble), entropy, 1e-4, 1e-4));
      const auto a = at::randn({rows}), b = at::randn({rows});
      (result.logprobs * a + result.entropy * b).sum().backward();
      (logprobs * a.to(at::kDouble) + entropy * b.to(at::kDouble)).sum().backward();
      DOCTEST_CHECK(at::allclose(hidden.grad().to(at::kDouble), wide_hidden.grad(), 1e-3, 1e-4));
      DOCTEST_CHECK(at::allclose(weight.grad().to(at::kDouble), wide_weight.grad(), 1e-3, 1e-4));
    }
  }
}

DOCTEST_TEST_CASE(
    "sample draws from the distribution, obeys bans and filters, and reports both log-probs and the margin") {
  const std::vector<float> logits = {0.5F, 2.0F, -1.0F, 1.0F, 0.0F};
  double total = 0;
  for (const auto logit : logits) total += std::exp(logit / 0.8);
  std::vector<double> counts(5, 0);
  constexpr int kDraws = 20000;
  std::vector<float> scratch;
  const auto border = [&](int64_t tokens) {  // where the interval of that token begins
    double sum = 0;
    for (int64_t i = 0; i < tokens; ++i) sum += std::exp(logits[static_cast<size_t>(i)] / 0.8) / total;
    return sum;
  };
  for (int i = 0; i < kDraws; ++i) {
    const auto drawn = kernels::sample(logits, {.temperature = 0.8, .banned = {}}, (i + 0.5) / kDraws, scratch);
    counts[drawn.token] += 1.0 / kDraws;
    DOCTEST_REQUIRE(std::abs(drawn.logprob - (logits[drawn.token] / 0.8 - std::log(total))) < 1e-5);
    DOCTEST_REQUIRE(std::abs(drawn.sampling_logprob - drawn.logprob) < 1e-5);
    const double uniform = (i + 0.5) / kDraws;
    const double margin = std::min(uniform - border(drawn.token), border(drawn.token + 1) - uniform);
    DOCTEST_REQUIRE(std::abs(drawn.margin - margin) < 1e-6);
  }
  for (size_t i = 0; i < 5; ++i) DOCTEST_CHECK(std::abs(counts[i] - std::exp(logits[i] / 0.8) / total) < 1e-3);

  const kernels::SampleOptions banned{.temperature = 1, .banned = {1}};
  const kernels::SampleOptions filtered{.temperature = 1, .top_k = 2, .banned = {}};
  const kernels::SampleOptions nucleus{.temperature = 1, .top_p = 0.3, .banned = {}};
  for (const double uniform : {1e-9, 0.3, 0.6, 1 - 1e-9}) {
    const auto without_best = kernels::sample(logits, banned, uniform, scratch);
    DOCTEST_CHECK(without_best.token != 1);
    DOCTEST_CHECK(without_best.sampling_logprob > without_best.logprob);
    const auto top_two = kernels::sample(logits, filtered, uniform, scratch).token;
    DOCTEST_CHECK((top_two == 1 || top_two == 3));
    DOCTEST_CHECK(kernels::sample(logits, nucleus, uniform, scratch).token == 1);
  }
  const auto greedy = kernels::sample(logits, {.temperature = 0, .banned = {}}, 0.999, scratch);
  DOCTEST_CHECK(greedy.token == 1);
  DOCTEST_CHECK(greedy.margin == 1);
  DOCTEST_CHECK(greedy.logprob ==
                doctest::Approx(2.0 - std::log(std::exp(.5) + std::exp(2.) + std::exp(-1.) + std::exp(1.) + 1)));
}
