#include <numeric>

#include "algorithms/bandit.h"
#include "algorithms/options.h"
#include "doctest/doctest.h"

// Every algorithm's expected gradient on the bandit, summed over all batches it can sample, against the equation of its
// paper, written down once more in plain arithmetic and differentiated numerically.
using namespace bandit;
using sightloop::algorithms::create;

namespace {

// Far enough from each other that ratios reach both bounds.
const Policies kPolicies = {.now = {0.3, -0.4, 0.9, 0.1},
                            .old = {-0.1, 0.2, 0.2, 0.5},
                            .sampler = {-0.1, 0.2, 0.2, 0.5},
                            .reference = {0.0, 0.4, -0.3, 0.2}};

// J(batch, logits): what the paper maximises, given the other policies.
using Objective = std::function<double(const Batch&, const Logits&)>;

double clamped(double x, double low, double high) { return std::min(std::max(x, low), high); }

double clipped_gain(double ratio, double advantage, double low, double high) {
  return std::min(ratio * advantage, clamped(ratio, 1 - low, 1 + high) * advantage);
}

double ratio(const Batch& batch, const Logits& now, size_t row, size_t t) {
  return std::exp(logprob(now, t, batch.tokens(row)[t]) - logprob(kPolicies.old, t, batch.tokens(row)[t]));
}

struct Group {
  double mean = 0, deviation = 0;
};
Group group_of(const Batch& batch, size_t row) {
  const auto begin = row - row % batch.per_prompt, count = batch.per_prompt;
  Group group;
  for (size_t i = begin; i < begin + count; ++i) group.mean += batch.reward(i) / static_cast<double>(count);
  for (size_t i = begin; i < begin + count; ++i)
    group.deviation += std::pow(batch.reward(i) - group.mean, 2) / static_cast<double>(count);
  group.deviation = std::sqrt(group.deviation);
  return group;
}
double group_normalized(const Batch& batch, size_t row) {
  const auto group = group_of(batch, row);
  return (batch.reward(row) - group.mean) / (group.deviation + 1e-4);
}

double over_tokens(const Batch& batch, const std::function<double(size_t row, size_t t)>& term) {
  double sum = 0;
  for (size_t row = 0; row < batch.rows.size(); ++row)
    for (size_t t = 0; t < batch.tokens(row).size(); ++t) sum += term(row, t);
  return sum;
}

void check_gradient(const std::string& name, const nlohmann::json& changes, size_t rows, size_t per_prompt,
                    const Objective& objective) {
  DOCTEST_CAPTURE(name);
  const auto algorithm = create(algorithm_options(name, changes));
  std::vector<double> ours(4, 0), exact(4, 0);
  double total = 0;
  each_batch(rows, per_prompt, [&](const Batch& batch) {
    const double probability = batch.probability(kPolicies.sampler);
    total += probability;
    const auto result = run(*algorithm, batch, kPolicies);
    DOCTEST_REQUIRE(result.loss == doctest::Approx(-objective(batch, kPolicies.now)).epsilon(1e-12));
    const auto expected = differentiate([&](const Logits& now) { return -objective(batch, now); }, kPolicies.now);
    for (size_t i = 0; i < 4; ++i) {
      ours[i] += probability * result.gradient[i];
      exact[i] += probability * expected[i];
    }
  });
  DOCTEST_CHECK(total == doctest::Approx(1));
  double size = 0;
  for (size_t i = 0; i < 4; ++i) {
    DOCTEST_CHECK(std::abs(ours[i] - exact[i]) < 2e-9);
    size += std::abs(exact[i]);
  }
  DOCTEST_CHECK(size > 1e-3);
}

double k3(const Batch& batch, const Logits& now, size_t row, size_t t) {
  const double difference =
      logprob(now, t, batch.tokens(row)[t]) - logprob(kPolicies.reference, t, batch.tokens(row)[t]);
  return std::exp(-difference) - 1 + difference;
}

// d E[return] / d logits under the policy itself, by enumeration.
std::vector<double> policy_gradient(const Logits& logits) {
  return differentiate(
      [](const Logits& now) {
        double sum = 0;
        for (int i = 0; i < 3; ++i) sum += probability(now, i) * kRewards[i];
        return sum;
      },
      logits);
}

// E[d loss / d logits] where the batch comes from the policy that learns.
std::vector<double> on_policy_gradient(const nlohmann::json& options, size_t rows, size_t per_prompt) {
  const Policies same{
      .now = kPolicies.now, .old = kPolicies.now, .sampler = kPolicies.now, .reference = kPolicies.reference};
  const auto algorithm = create(options);
  std::vector<double> sum(4, 0);
  each_batch(rows, per_prompt, [&](const Batch& batch) {
    const auto result = run(*algorithm, batch, same);
    for (size_t i = 0; i < 4; ++i) sum[i] += batch.probability(same.sampler) * result.gradient[i];
  });
  return sum;
}

}  // namespace

DOCTEST_TEST_CASE("grpo: arXiv:2402.03300 eq. 3") {
  check_gradient("grpo", {{"loss_aggregation", "sequence_mean"}, {"kl_loss_coefficient", 0.1}}, 4, 4,
                 [](const Batch& batch, const Logits& now) {
                   return over_tokens(batch, [&](size_t row, size_t t) {
                     const double gain =
                         clipped_gain(ratio(batch, now, row, t), group_normalized(batch, row), 0.2, 0.3);
                     return (gain - 0.1 * k3(batch, now, row, t)) / (4 * batch.length(row));
                   });
                 });
}

DOCTEST_TEST_CASE("dr_grpo: arXiv:2503.20783 eq. 5") {
  check_gradient("dr_grpo", {{"loss_aggregation", "constant"}}, 4, 4, [](const Batch& batch, const Logits& now) {
    return over_tokens(batch, [&](size_t row, size_t t) {
      const double advantage = batch.reward(row) - group_of(batch, row).mean;
      return clipped_gain(ratio(batch, now, row, t), advantage, 0.2, 0.3) / (4 * 4);
    });
  });
}

DOCTEST_TEST_CASE("dapo: arXiv:2503.14476 eq. 8") {
  check_gradient("dapo", {}, 4, 4, [](const Batch& batch, const Logits& now) {
    return over_tokens(batch, [&](size_t row, size_t t) {
      return clipped_gain(ratio(batch, now, row, t), group_normalized(batch, row), 0.2, 0.3) / batch.tokens_in_all();
    });
  });
}

DOCTEST_TEST_CASE("gspo: arXiv:2507.18071 eq. 5 and 7") {
  check_gradient("gspo", {{"loss_aggregation", "sequence_mean"}, {"clip_ratio_low", 0.1}, {"clip_ratio_high", 0.15}}, 4,
                 4, [](const Batch& batch, const Logits& now) {
                   double sum = 0;
                   for (size_t row = 0; row < 4; ++row) {
                     double product = 1;
                     for (size_t t = 0; t < batch.tokens(row).size(); ++t) product *= ratio(batch, now, row, t);
                     sum += clipped_gain(std::pow(product, 1 / batch.length(row)), group_normalized(batch, row), 0.1,
                                         0.15);
                   }
                   return sum / 4;
                 });
}

DOCTEST_TEST_CASE("cispo: arXiv:2506.13585 eq. 4 and 5") {
  check_gradient("cispo", {{"clip_ratio_low", nullptr}, {"clip_ratio_high", 0.3}}, 4, 4,
                 [](const Batch& batch, const Logits& now) {
                   return over_tokens(batch, [&](size_t row, size_t t) {
                     const double weight = std::min(ratio(batch, kPolicies.now, row, t), 1.3);  // stop_gradient
                     return weight * group_normalized(batch, row) * logprob(now, t, batch.tokens(row)[t]) /
                            batch.tokens_in_all();
                   });
                 });
}

DOCTEST_TEST_CASE("rloo: arXiv:2402.14740 eq. 7, KL in the reward") {
  const auto score = [](const Batch& batch, size_t row) {
    double kl = 0;
    for (size_t t = 0; t < batch.tokens(row).size(); ++t)
      kl += static_cast<float>(logprob(kPolicies.old, t, batch.tokens(row)[t])) -
            static_cast<double>(static_cast<float>(logprob(kPolicies.reference, t, batch.tokens(row)[t])));
    return batch.reward(row) - 0.1 * kl;
  };
  check_gradient("rloo", {{"loss_aggregation", "constant"}, {"kl_reward_coefficient", 0.1}}, 4, 4,
                 [&](const Batch& batch, const Logits& now) {
                   return over_tokens(batch, [&](size_t row, size_t t) {
                     double others = 0;
                     for (size_t i = 0; i < 4; ++i) others += i == row ? 0 : score(batch, i) / 3;
                     return clipped_gain(ratio(batch, now, row, t), score(batch, row) - others, 0.2, 0.3) / (4 * 4);
                   });
                 });
}

DOCTEST_TEST_CASE("reinforce_plus_plus: arXiv:2501.03262, discounted returns whitened over the batch") {
  const double gamma = 0.5;
  const auto value = [&](const Batch& batch, size_t row, size_t t) {
    return batch.reward(row) * std::pow(gamma, batch.length(row) - 1 - static_cast<double>(t));
  };
  check_gradient("reinforce_plus_plus", {{"gamma", gamma}}, 4, 1, [&](const Batch& batch, const Logits& now) {
    const double mean =
        over_tokens(batch, [&](size_t i, size_t t) { return value(batch, i, t) / (4 * batch.length(i)); });
    const double variance = over_tokens(
        batch, [&](size_t i, size_t t) { return std::pow(value(batch, i, t) - mean, 2) / (4 * batch.length(i)); });
    return over_tokens(batch, [&](size_t row, size_t t) {
      const double advantage = (value(batch, row, t) - mean) / std::sqrt(variance + 1e-8);
      return clipped_gain(ratio(batch, now, row, t), advantage, 0.2, 0.3) / batch.tokens_in_all();
    });
  });
}

DOCTEST_TEST_CASE("reinforce_plus_plus_baseline: the group's mean, the batch's deviation, k2 in the loss") {
  check_gradient(
      "reinforce_plus_plus_baseline", {{"kl_loss_coefficient", 0.1}, {"kl_loss_estimator", "k2"}}, 4, 2,
      [](const Batch& batch, const Logits& now) {
        double variance = 0;
        for (size_t i = 0; i < 4; ++i) variance += std::pow(batch.reward(i) - group_of(batch, i).mean, 2) / 4;
        return over_tokens(batch, [&](size_t row, size_t t) {
          const double advantage = (batch.reward(row) - group_of(batch, row).mean) / std::sqrt(variance + 1e-8);
          const double difference =
              logprob(now, t, batch.tokens(row)[t]) - logprob(kPolicies.reference, t, batch.tokens(row)[t]);
          return (clipped_gain(ratio(batch, now, row, t), advantage, 0.2, 0.3) - 0.1 * difference * difference / 2) /
                 batch.tokens_in_all();
        });
      });
}

DOCTEST_TEST_CASE("on policy, rloo's gradient is that of the expected reward, dr_grpo's (G - 1) / G of it") {
  const auto exact = policy_gradient(kPolicies.now);
  const auto rloo = on_policy_gradient(algorithm_options("rloo", {{"loss_aggregation", "constant"}}), 3, 3);
  const auto dr_grpo = on_policy_gradient(algorithm_options("dr_grpo", {{"loss_aggregation", "constant"}}), 3, 3);
  for (size_t i = 0; i < 4; ++i) {
    DOCTEST_CHECK(std::abs(-4 * rloo[i] - exact[i]) < 1e-9);  // 4: max_completion_tokens
    DOCTEST_CHECK(std::abs(-4 * 1.5 * dr_grpo[i] - exact[i]) < 1e-9);
  }
}

DOCTEST_TEST_CASE("on policy, gspo is grpo by sequence_mean, and cispo and dapo are grpo by token_mean") {
  for (const auto& [name, aggregation] :
       {std::pair{"gspo", "sequence_mean"}, std::pair{"cispo", "token_mean"}, std::pair{"dapo", "token_mean"}}) {
    DOCTEST_CAPTURE(name);
    const nlohmann::json changes = {{"loss_aggregation", aggregation}};
    const auto ours = on_policy_gradient(algorithm_options(name, changes), 3, 3);
    const auto grpo = on_policy_gradient(algorithm_options("grpo", changes), 3, 3);
    for (size_t i = 0; i < 4; ++i) DOCTEST_CHECK(std::abs(ours[i] - grpo[i]) < 1e-12);
  }
}

DOCTEST_TEST_CASE(
    "on policy, k1 in the reward, k2 in the loss and unbiased estimates have the gradient of the KL divergence") {
  // sum over tokens of E[KL_t], as RLOO with rewards of zero weight sees it: the KL divergence of whole completions.
  const auto exact = differentiate(
      [](const Logits& now) {
        double sum = 0;
        for (int i = 0; i < 3; ++i)
          sum += probability(now, i) * std::log(probability(now, i) / probability(kPolicies.reference, i));
        return sum;
      },
      kPolicies.now);
  const auto without = on_policy_gradient(algorithm_options("rloo", {{"loss_aggregation", "constant"}}), 2, 2);
  const auto with_reward = on_policy_gradient(
      algorithm_options("rloo", {{"loss_aggregation", "constant"}, {"kl_reward_coefficient", 0.5}}), 2, 2);
  for (size_t i = 0; i < 4; ++i) DOCTEST_CHECK(std::abs(4 * (with_reward[i] - without[i]) - 0.5 * exact[i]) < 1e-7);

  // In the loss every token counts by itself, given what came before.
  const auto of_tokens = [&](const std::string& estimator, bool unbiased) {
    const auto with_loss = on_policy_gradient(algorithm_options("rloo", {{"loss_aggregation", "constant"},
                                                                         {"kl_loss_coefficient", 0.5},
                                                                         {"kl_loss_estimator", estimator},
                                                                         {"kl_loss_unbiased", unbiased}}),
                                              2, 2);
    std::vector<double> difference(4);
    for (size_t i = 0; i < 4; ++i) difference[i] = 4 * (with_loss[i] - without[i]);
    return difference;
  };
  const auto reach = std::exp(logprob(kPolicies.now, 0, 1));  // of the second position
  const auto of_position = differentiate(
      [&](const Logits& now) {
        double sum = 0;
        for (size_t t = 0; t < 2; ++t)
          for (const int token : {0, 1}) {
            const double p = logprob(now, t, token);
            sum += (t == 0 ? 1 : reach) * std::exp(p) * (p - logprob(kPolicies.reference, t, token));
          }
        return sum;
      },
      kPolicies.now);
  const auto k2 = of_tokens("k2", false), k3_biased = of_tokens("k3", false);
  const auto k1_unbiased = of_tokens("k1", true), k3_unbiased = of_tokens("k3", true);
  const auto k1_biased = of_tokens("k1", false);
  double bias = 0;
  for (size_t i = 0; i < 4; ++i) {
    for (const auto& gradient : {k2, k1_unbiased, k3_unbiased})
      DOCTEST_CHECK(std::abs(gradient[i] - 0.5 * of_position[i]) < 1e-9);
    DOCTEST_CHECK(std::abs(k1_biased[i]) < 1e-12);  // k1 in the loss pulls nowhere
    bias += std::abs(k3_biased[i] - 0.5 * of_position[i]);
  }
  DOCTEST_CHECK(bias > 1e-3);
}

DOCTEST_TEST_CASE("an entropy bonus adds exactly the gradient of the entropy") {
  const auto with = create(algorithm_options("grpo", {{"entropy_coefficient", 0.3}})),
             without = create(algorithm_options("grpo"));
  each_batch(2, 2, [&](const Batch& batch) {
    const auto a = run(*with, batch, kPolicies), b = run(*without, batch, kPolicies);
    const auto expected = differentiate(
        [&](const Logits& now) {
          return -0.3 * over_tokens(batch, [&](size_t, size_t t) { return entropy(now, t) / batch.tokens_in_all(); });
        },
        kPolicies.now);
    for (size_t i = 0; i < 4; ++i) DOCTEST_CHECK(std::abs(a.gradient[i] - b.gradient[i] - expected[i]) < 1e-9);
  });
}

DOCTEST_TEST_CASE(
    "importance correction: with whole completions and no cap, the sampler's batches give the old policy's gradient") {
  auto policies = kPolicies;
  policies.sampler = {0.5, 0.1, -0.6, 0.4};
  // Scores of one row: no baseline, so that rows are independent.
  const auto expectation = [&](const nlohmann::json& correction, const Logits& drawn_by) {
    const auto algorithm = create(algorithm_options("grpo", {{"advantage_centre", "none"},
                                                             {"advantage_scale", "none"},
                                                             {"importance_correction", correction},
                                                             {"loss_aggregation", "constant"}}));
    std::vector<double> sum(4, 0);
    each_batch(1, 1, [&](const Batch& batch) {
      const auto result = run(*algorithm, batch, policies);
      for (size_t i = 0; i < 4; ++i) sum[i] += batch.probability(drawn_by) * result.gradient[i];
    });
    return sum;
  };
  const auto exact = expectation(nullptr, policies.old);
  const auto biased = expectation(nullptr, policies.sampler);
  const auto whole = expectation({{"mode", "truncate"}, {"level", "sequence"}, {"cap", 1e6}}, policies.sampler);
  const auto masked = expectation({{"mode", "mask"}, {"level", "sequence"}, {"cap", 1e6}}, policies.sampler);
  double bias = 0;
  for (size_t i = 0; i < 4; ++i) {
    DOCTEST_CHECK(std::abs(whole[i] - exact[i]) < 1e-12);
    DOCTEST_CHECK(std::abs(masked[i] - exact[i]) < 1e-12);
    bias += std::abs(biased[i] - exact[i]);
  }
  DOCTEST_CHECK(bias > 1e-3);
}
