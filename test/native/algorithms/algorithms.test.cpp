#include <ATen/ATen.h>

#include <cmath>

#include "algorithms/options.h"
#include "algorithms/policy_gradient.h"
#include "doctest/doctest.h"

using namespace sightloop::algorithms;

namespace {

// Two prompts of one token; completions of 1, 3, 2 and 1 tokens.
const std::vector<int64_t> kPrompts = {7, 7, 8, 8};
const std::vector<int32_t> kOffsets = {0, 2, 6, 9, 11};
const std::vector<uint8_t> kMask = {0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1};
const std::vector<float> kRewards = {1, 0, 1, 1};
const std::vector<float> kZeros(11, 0.0F);

AdvantageInputs inputs(const std::vector<float>& reference = {}) {
  return {.prompt_ids = kPrompts,
          .offsets = kOffsets,
          .completion_mask = kMask,
          .rewards = kRewards,
          .policy_logprobs = kZeros,
          .reference_logprobs = reference};
}

}  // namespace

DOCTEST_TEST_CASE("grpo: reward relative to its group, 0 outside completions and in groups without difference") {
  const auto advantages = create(algorithm_options("grpo"))->advantages(inputs());
  const float high = 0.5F / (0.5F + 1e-4F);
  const std::vector<float> expected = {0, high, 0, -high, -high, -high, 0, 0, 0, 0, 0};
  for (size_t i = 0; i < expected.size(); ++i) DOCTEST_CHECK(advantages[i] == doctest::Approx(expected[i]));
  for (const auto& [scale, first] : {std::pair{"none", 0.5}, std::pair{"batch", 0.5 / std::sqrt(0.125)}}) {
    const auto scaled = create(algorithm_options("grpo", {{"advantage_scale", scale}}))->advantages(inputs());
    DOCTEST_CHECK(scaled[1] == doctest::Approx(first));
    DOCTEST_CHECK(scaled[7] == 0);  // of equal rewards: exactly
  }
  const auto uncentred = create(algorithm_options("grpo", {{"advantage_centre", "none"}, {"advantage_scale", "none"}}));
  DOCTEST_CHECK(uncentred->advantages(inputs())[10] == 1);
}

DOCTEST_TEST_CASE("reinforce_plus_plus: discounted returns, whitened over the batch") {
  const auto returns = std::vector<double>{0, 1, 0, 0, 0, 0, 0, 0.5, 1, 0, 1};  // gamma 0.5
  for (const bool by_token : {false, true}) {
    auto settings = algorithm_options("reinforce_plus_plus", {{"gamma", 0.5}});
    settings["whiten_weight"] = by_token ? "token" : "sequence";
    const std::vector<double> weights = by_token
                                            ? std::vector<double>{0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1}
                                            : std::vector<double>{0, 1, 0, 1. / 3, 1. / 3, 1. / 3, 0, .5, .5, 0, 1};
    double total = 0, mean = 0, variance = 0;
    for (size_t i = 0; i < 11; ++i) total += weights[i];
    for (size_t i = 0; i < 11; ++i) mean += weights[i] * returns[i] / total;
    for (size_t i = 0; i < 11; ++i)  // of the sample where tokens are counted, as in MAYE
      variance += weights[i] * std::pow(returns[i] - mean, 2) / (by_token ? total - 1 : total);
    for (const bool shifted : {false, true}) {
      settings["whiten_shift_mean"] = shifted;
      const auto advantages = create(settings)->advantages(inputs());
      for (size_t i = 0; i < 11; ++i) {
        const double expected = kMask[i] == 0 ? 0 : (returns[i] - mean) / std::sqrt(variance) + (shifted ? mean : 0);
        DOCTEST_CHECK(advantages[i] == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}

DOCTEST_TEST_CASE("reinforce_plus_plus: a KL penalty lowers the return of the tokens before it") {
  const auto settings = algorithm_options("reinforce_plus_plus", {{"kl_reward_coefficient", 0.1}});
  std::vector<float> reference(11, 0.0F);
  reference[4] = -2;  // the policy is 2 nats likelier than the reference at the second token of row 1
  const auto advantages = create(settings)->advantages(inputs(reference));
  DOCTEST_CHECK(advantages[3] == advantages[4]);
  DOCTEST_CHECK(advantages[5] > advantages[4]);
  DOCTEST_CHECK_THROWS(create(settings)->advantages(inputs()));
}

DOCTEST_TEST_CASE(
    "reinforce_plus_plus: blocks of completions are whitened apart, as processes that do not talk would") {
  const auto together = create(algorithm_options("reinforce_plus_plus"))->advantages(inputs());
  const auto apart =
      create(algorithm_options("reinforce_plus_plus", {{"whiten_completions", 2}}))->advantages(inputs());
  DOCTEST_CHECK(apart[1] == doctest::Approx(1));   // of rewards 1 and 0
  DOCTEST_CHECK(apart[10] == doctest::Approx(0));  // of rewards 1 and 1
  DOCTEST_CHECK(together[10] > 0.1);
}

DOCTEST_TEST_CASE("rloo: against the mean of the others; exactly 0 for equal rewards, and for a completion alone") {
  const auto advantages = create(algorithm_options("rloo"))->advantages(inputs());
  DOCTEST_CHECK(advantages == std::vector<double>{0, 1, 0, -1, -1, -1, 0, 0, 0, 0, 0});
  const std::vector<int64_t> all_apart = {1, 2, 3, 4};
  auto one_each = inputs();
  one_each.prompt_ids = all_apart;
  for (const auto advantage : create(algorithm_options("rloo"))->advantages(one_each)) DOCTEST_CHECK(advantage == 0);
}

namespace {

// Four tokens of two completions; ratios 1, e^0.5, e^-0.5 and beyond the clamp.
LossInputs four_tokens() {
  const auto old = at::tensor({-1.0F, -2.0F, -0.5F, -3.0F});
  return {.logprobs = (old + at::tensor({0.0F, 0.5F, -0.5F, 60.0F})).requires_grad_(true),
          .entropy = at::ones({4}),
          .old_logprobs = old,
          .rollout_logprobs = old - at::tensor({0.0F, 1.0F, -1.0F, 0.5F}),
          .reference_logprobs = {},
          .advantages = at::tensor({2.0F, 1.0F, -1.0F, -1.0F}),
          .weights = at::full({4}, 0.25),
          .sequences = at::tensor({0, 0, 1, 1}, at::kLong)};
}

std::vector<float> gradient_of(const nlohmann::json& options, LossSums& sums) {
  const auto inputs = four_tokens();
  const auto loss = create(options)->loss(inputs);
  loss.loss.backward();
  sums = loss.sums;
  DOCTEST_CHECK(std::isfinite(sums.policy_loss));
  const auto gradient = inputs.logprobs.grad();
  return {gradient.data_ptr<float>(), gradient.data_ptr<float>() + 4};
}

}  // namespace

DOCTEST_TEST_CASE(
    "clipping: the gradient is -advantage on policy, 0 where clipped or clamped, and each is counted apart") {
  LossSums sums;
  const auto gradient = gradient_of(algorithm_options("grpo"), sums);
  DOCTEST_CHECK(gradient[0] == doctest::Approx(-0.5));
  DOCTEST_CHECK(gradient[1] == 0);  // ratio e^0.5 > 1.3, advantage > 0
  DOCTEST_CHECK(gradient[2] == 0);  // ratio e^-0.5 < 0.8, advantage < 0
  DOCTEST_CHECK(gradient[3] == 0);  // clamped at e^20
  DOCTEST_CHECK(sums.clipped_low == 1);
  DOCTEST_CHECK(sums.clipped_high == 1);
  DOCTEST_CHECK(sums.dual_clipped == 0);
  DOCTEST_CHECK(sums.clamped_log_ratios == 1);
  DOCTEST_CHECK(sums.ratio_max == doctest::Approx(std::exp(20)));
}

DOCTEST_TEST_CASE("dual clip: a large ratio weighs at most so much against a negative advantage") {
  LossSums sums;
  gradient_of(algorithm_options("grpo"), sums);
  DOCTEST_CHECK(sums.policy_loss > 1e8);
  gradient_of(algorithm_options("grpo", {{"dual_clip", 3.0}}), sums);
  DOCTEST_CHECK(sums.dual_clipped == 1);
  DOCTEST_CHECK(sums.policy_loss == doctest::Approx(0.25 * (-2 - 1.3 + 0.8 + 3)));
}

DOCTEST_TEST_CASE("cispo: no token loses its gradient; weights are capped") {
  LossSums sums;
  const auto gradient = gradient_of(algorithm_options("cispo", {{"clip_ratio_low", nullptr}}), sums);
  const std::vector<double> expected = {-0.5, -0.25 * 1.3, 0.25 * std::exp(-0.5), 0.25 * 1.3};
  for (size_t i = 0; i < 4; ++i) DOCTEST_CHECK(gradient[i] == doctest::Approx(expected[i]));
  DOCTEST_CHECK(sums.clipped_high == 2);
  DOCTEST_CHECK(sums.clipped_low == 0);
}

DOCTEST_TEST_CASE("gspo: all tokens of a completion share one ratio and one clip") {
  LossSums sums;
  const auto gradient = gradient_of(algorithm_options("gspo"), sums);
  // s = e^0.25, the same for both tokens, and half of its gradient each: (A_0 + A_1) s w / 2
  DOCTEST_CHECK(gradient[0] == doctest::Approx(-0.25 * 3 * std::exp(0.25) / 2));
  DOCTEST_CHECK(gradient[0] == gradient[1]);
  DOCTEST_CHECK(gradient[2] == gradient[3]);
  DOCTEST_CHECK(sums.clamped_log_ratios == 2);  // both tokens of the second completion: its mean is beyond the clamp
}

DOCTEST_TEST_CASE("importance correction: truncated or masked, by token or completion; counted before the cap") {
  const std::vector<double> raw = {1, std::exp(1), std::exp(-1), std::exp(0.5)};
  const auto corrected = [](const char* mode, const char* level, LossSums& sums) {
    return gradient_of(
        algorithm_options("cispo", {{"clip_ratio_low", nullptr},
                                    {"importance_correction", {{"mode", mode}, {"level", level}, {"cap", 2.0}}}}),
        sums);
  };
  LossSums plain_sums, sums;
  const auto plain = gradient_of(algorithm_options("cispo", {{"clip_ratio_low", nullptr}}), plain_sums);
  DOCTEST_CHECK(plain_sums.importance_count == 0);
  const auto check = [&](const std::vector<float>& gradient, const std::vector<double>& factors) {
    for (size_t i = 0; i < 4; ++i) DOCTEST_CHECK(gradient[i] == doctest::Approx(plain[i] * factors[i]));
  };
  check(corrected("truncate", "token", sums), {1, 2, raw[2], raw[3]});
  DOCTEST_CHECK(sums.importance_count == 4);
  DOCTEST_CHECK(sums.importance_sum == doctest::Approx(raw[0] + raw[1] + raw[2] + raw[3]));
  DOCTEST_CHECK(sums.importance_capped == 1);
  DOCTEST_CHECK(sums.importance_max == doctest::Approx(raw[1]));
  check(corrected("mask", "token", sums), {1, 0, 0, raw[3]});
  DOCTEST_CHECK(sums.importance_capped == 2);
  const double second = std::exp(-0.5);
  check(corrected("truncate", "sequence", sums), {2, 2, second, second});
  DOCTEST_CHECK(sums.importance_count == 2);
  check(corrected("mask", "sequence", sums), {0, 0, second, second});
  DOCTEST_CHECK_THROWS(create(
      algorithm_options("grpo", {{"importance_correction", {{"mode", "cut"}, {"level", "token"}, {"cap", 2.0}}}})));
}

DOCTEST_TEST_CASE("token_weights: each aggregation's mean") {
  const std::vector<int64_t> lengths = {1, 3, 0};
  const auto weights = [&](const char* name, int64_t block = 0) {
    return token_weights({.name = name, .max_completion_tokens = 4, .block_completions = block}, lengths);
  };
  DOCTEST_CHECK(weights("token_mean") == std::vector<double>{.25, .25, .25});
  DOCTEST_CHECK(weights("sequence_mean") == std::vector<double>{1. / 3, 1. / 9, 0});
  DOCTEST_CHECK(weights("constant") == std::vector<double>{1. / 12, 1. / 12, 1. / 12});
  DOCTEST_CHECK(weights("block_token_mean", 2) == std::vector<double>{1. / 8, 1. / 8, 0});
  DOCTEST_CHECK(weights("block_token_mean", 1) == std::vector<double>{1. / 3, 1. / 9, 0});
  DOCTEST_CHECK(weights("block_token_mean", 8) == weights("token_mean"));
  DOCTEST_CHECK_THROWS(weights("block_token_mean"));
  DOCTEST_CHECK_THROWS(token_weights({.name = "token_mean"}, std::vector<int64_t>{0}));
}
