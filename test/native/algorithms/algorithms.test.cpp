#include <ATen/ATen.h>

#include <cmath>

#include "algorithms/algorithm.h"
#include "doctest/doctest.h"

using namespace sightloop::algorithms;

namespace {

sightloop::collectives::SingleProcess alone;

nlohmann::json options(const std::string& name) {
  return {{"name", name},
          {"clip_ratio_low", 0.2},
          {"clip_ratio_high", 0.3},
          {"kl_loss_coefficient", 0.1},
          {"loss_aggregation", "token_mean"},
          {"max_completion_tokens", 4},
          {"scale_by_std", true},
          {"skip_zero_advantage_groups", false},
          {"gamma", 0.5},
          {"kl_reward_coefficient", 0.0},
          {"whiten_weight", "sequence"},
          {"whiten_shift_mean", false}};
}

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
  const auto advantages = create(options("grpo"))->advantages(inputs(), alone);
  const float high = 0.5F / (0.5F + 1e-4F);
  const std::vector<float> expected = {0, high, 0, -high, -high, -high, 0, 0, 0, 0, 0};
  for (size_t i = 0; i < expected.size(); ++i) DOCTEST_CHECK(advantages[i] == doctest::Approx(expected[i]));
  auto unscaled = options("grpo");
  unscaled["scale_by_std"] = false;
  DOCTEST_CHECK(create(unscaled)->advantages(inputs(), alone)[1] == doctest::Approx(0.5));
}

DOCTEST_TEST_CASE("reinforce_plus_plus: discounted returns, whitened over the batch") {
  const auto returns = std::vector<double>{0, 1, 0, 0, 0, 0, 0, 0.5, 1, 0, 1};  // gamma 0.5
  for (const bool by_token : {false, true}) {
    auto settings = options("reinforce_plus_plus");
    settings["whiten_weight"] = by_token ? "token" : "sequence";
    const std::vector<double> weights = by_token
                                            ? std::vector<double>{0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1}
                                            : std::vector<double>{0, 1, 0, 1. / 3, 1. / 3, 1. / 3, 0, .5, .5, 0, 1};
    double total = 0, mean = 0, variance = 0;
    for (size_t i = 0; i < 11; ++i) total += weights[i];
    for (size_t i = 0; i < 11; ++i) mean += weights[i] * returns[i] / total;
    for (size_t i = 0; i < 11; ++i) variance += weights[i] * std::pow(returns[i] - mean, 2) / total;
    for (const bool shifted : {false, true}) {
      settings["whiten_shift_mean"] = shifted;
      const auto advantages = create(settings)->advantages(inputs(), alone);
      for (size_t i = 0; i < 11; ++i) {
        const double expected = kMask[i] == 0 ? 0 : (returns[i] - mean) / std::sqrt(variance) + (shifted ? mean : 0);
        DOCTEST_CHECK(advantages[i] == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}

DOCTEST_TEST_CASE("reinforce_plus_plus: a KL penalty lowers the return of the tokens before it") {
  auto settings = options("reinforce_plus_plus");
  settings["kl_reward_coefficient"] = 0.1;
  settings["gamma"] = 1.0;
  std::vector<float> reference(11, 0.0F);
  reference[4] = -2;  // the policy is 2 nats likelier than the reference at the second token of row 1
  const auto advantages = create(settings)->advantages(inputs(reference), alone);
  DOCTEST_CHECK(advantages[3] == advantages[4]);
  DOCTEST_CHECK(advantages[5] > advantages[4]);
  DOCTEST_CHECK_THROWS(create(settings)->advantages(inputs(), alone));
}

DOCTEST_TEST_CASE(
    "clipped_surrogate: on-policy gradient is -advantage, clipped tokens have none, NaN-free at the clamp") {
  const auto old = at::tensor({-1.0F, -2.0F, -0.5F, -3.0F});
  const auto logprobs = (old + at::tensor({0.0F, 0.5F, -0.5F, 60.0F})).requires_grad_(true);
  const auto advantages = at::tensor({2.0F, 1.0F, -1.0F, -1.0F}), weights = at::full({4}, 0.25);
  const auto loss = clipped_surrogate({.logprobs = logprobs,
                                       .old_logprobs = old,
                                       .reference_logprobs = {},
                                       .advantages = advantages,
                                       .weights = weights},
                                      {.clip_ratio_low = 0.2, .clip_ratio_high = 0.3, .kl_loss_coefficient = 0});
  loss.loss.backward();
  const auto gradient = logprobs.grad();
  DOCTEST_CHECK(gradient[0].item<float>() == doctest::Approx(-0.5));
  DOCTEST_CHECK(gradient[1].item<float>() == 0);  // ratio e^0.5 > 1.3, advantage > 0
  DOCTEST_CHECK(gradient[2].item<float>() == 0);  // ratio e^-0.5 < 0.8, advantage < 0
  DOCTEST_CHECK(gradient[3].item<float>() == 0);  // clamped at e^20
  DOCTEST_CHECK(loss.clipped_tokens == 2);
  DOCTEST_CHECK(loss.clamped_log_ratios == 1);
  DOCTEST_CHECK(std::isfinite(loss.policy_loss));
}

DOCTEST_TEST_CASE("token_weights: each aggregation's mean") {
  const std::vector<int64_t> lengths = {1, 3, 0};
  DOCTEST_CHECK(token_weights("token_mean", lengths, 4, alone) == std::vector<double>{.25, .25, .25});
  DOCTEST_CHECK(token_weights("sequence_mean", lengths, 4, alone) == std::vector<double>{1. / 3, 1. / 9, 0});
  DOCTEST_CHECK(token_weights("constant", lengths, 4, alone) == std::vector<double>{1. / 12, 1. / 12, 1. / 12});
  DOCTEST_CHECK_THROWS(token_weights("token_mean", std::vector<int64_t>{0}, 4, alone));
}
