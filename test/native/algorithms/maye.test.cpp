#include <ATen/ATen.h>

#include <filesystem>
#include <fstream>

#include "algorithms/advantages.h"
#include "algorithms/options.h"
#include "checkpoint/safetensors.h"
#include "doctest/doctest.h"

// Against what MAYE's own functions returned (test/fixtures/maye_math, commit in math.json): get_rewards_from_ref,
// estimate_advantages, whiten, PPOLoss.
using namespace sightloop::algorithms;

namespace {

const auto kFolder = std::filesystem::path(SIGHTLOOP_ROOT) / "test/fixtures/maye_math";

struct Case {
  nlohmann::json constants;
  const std::map<std::string, at::Tensor>& tensors;

  at::Tensor tensor(const std::string& name) const {
    return tensors.at("case" + std::to_string(constants["index"].get<int>()) + "/" + name);
  }
  at::Tensor mask() const { return tensor("mask").to(at::kBool); }
  // The completion tokens of all rows, flat.
  at::Tensor tokens(const std::string& name) const { return tensor(name).masked_select(mask()).contiguous(); }
  double scalar(const std::string& name) const { return tensor(name).item<double>(); }
};

void each_case(const std::function<void(const Case&)>& visit) {
  const auto constants = nlohmann::json::parse(std::ifstream(kFolder / "math.json")).at("cases");
  const sightloop::checkpoint::SafetensorsFile file(kFolder / "math.safetensors");
  DOCTEST_REQUIRE(constants.size() == 4);
  for (const auto& of_case : constants) {
    DOCTEST_CAPTURE(of_case.dump());
    visit({.constants = of_case, .tensors = file.tensors()});
  }
}

// Rows of completion tokens alone; keeps what the spans of AdvantageInputs point at.
struct Rows {
  std::vector<int64_t> prompt_ids;
  std::vector<int32_t> offsets = {0};
  std::vector<uint8_t> mask;
  at::Tensor rewards, policy, reference;

  explicit Rows(const Case& of_case)
      : rewards(of_case.tensor("scores").clone()),
        policy(of_case.tokens("old_logprobs")),
        reference(of_case.tokens("ref_logprobs")) {
    const auto lengths = of_case.mask().sum(1);
    for (int64_t row = 0; row < lengths.size(0); ++row) {
      prompt_ids.push_back(row);
      offsets.push_back(offsets.back() + lengths[row].item<int32_t>());
    }
    mask.assign(static_cast<size_t>(offsets.back()), 1);
  }

  AdvantageInputs inputs() const {
    const auto span = [](const at::Tensor& t) {
      return std::span<const float>(t.data_ptr<float>(), static_cast<size_t>(t.numel()));
    };
    return {.prompt_ids = prompt_ids,
            .offsets = offsets,
            .completion_mask = mask,
            .rewards = span(rewards),
            .policy_logprobs = span(policy),
            .reference_logprobs = span(reference)};
  }
};

double difference(const std::vector<double>& ours, const at::Tensor& theirs) {
  return (at::tensor(ours, at::kDouble) - theirs.to(at::kDouble)).abs().max().item<double>();
}

nlohmann::json maye_options(const Case& of_case) {
  return algorithm_options("reinforce_plus_plus", {{"gamma", of_case.constants["gamma"]},
                                                   {"kl_reward_coefficient", of_case.constants["kl_coeff"]},
                                                   {"kl_reward_estimator", "k3"},
                                                   {"whiten_weight", "token"},
                                                   {"whiten_shift_mean", true},
                                                   {"clip_ratio_low", of_case.constants["epsilon_low"]},
                                                   {"clip_ratio_high", of_case.constants["epsilon_high"]},
                                                   {"kl_loss_coefficient", of_case.constants["kl_loss_coeff"]}});
}

}  // namespace

DOCTEST_TEST_CASE("MAYE: KL reward, discounted returns and advantages, with the settings of maye_paper") {
  int whole = 0;
  each_case([&](const Case& of_case) {
    Rows rows(of_case);
    const double gamma = of_case.constants["gamma"];
    const KlReward kl{.coefficient = of_case.constants["kl_coeff"], .estimator = Estimator::k3, .log_ratio_clamp = 20};
    // A discount of 0 leaves each token's own reward. MAYE cuts a token's KL at 10, where ours clamps its log-ratio.
    const auto own = at::tensor(token_returns(rows.inputs(), 0, kl), at::kDouble);
    const auto uncut = of_case.tokens("kl") < 10;
    const auto error = (own - of_case.tokens("rewards")).abs().masked_select(uncut);
    DOCTEST_CHECK(error.numel() >= 5);
    DOCTEST_CHECK(error.max().item<double>() < 1e-6);
    if (!uncut.all().item<bool>()) return;
    whole += 1;
    // MAYE's returns also run over the padding of a row: what that adds is added to our rewards.
    const auto returns = of_case.tensor("returns");
    const auto lengths = of_case.mask().sum(1);
    for (int64_t row = 0; row < lengths.size(0); ++row)
      if (const auto length = lengths[row].item<int64_t>(); length < returns.size(1))
        rows.rewards[row] += gamma * returns[row][length];
    DOCTEST_CHECK(difference(token_returns(rows.inputs(), gamma, kl), of_case.tokens("returns")) < 2e-6);
    const auto advantages = create(maye_options(of_case))->advantages(rows.inputs());
    DOCTEST_CHECK(difference(advantages, of_case.tokens("advantages")) < 2e-6);
  });
  DOCTEST_CHECK(whole == 3);
}

DOCTEST_TEST_CASE("MAYE: whiten, with and without the mean added back") {
  each_case([](const Case& of_case) {
    const Rows rows(of_case);
    for (const bool shift : {false, true}) {
      const auto of_tokens = of_case.tokens("rewards").to(at::kDouble);
      std::vector<double> values(of_tokens.data_ptr<double>(), of_tokens.data_ptr<double>() + of_tokens.numel());
      normalize(values, rows.inputs(),
                {.centre = Scope::batch, .scale = Scope::batch, .weigh_tokens = true, .shift_mean = shift});
      DOCTEST_CHECK(
          difference(values, of_case.tokens(shift ? "whiten_masked_shift_True" : "whiten_masked_shift_False")) < 2e-6);
    }
  });
}

DOCTEST_TEST_CASE("MAYE: PPOLoss, its parts and its gradient") {
  int with_kl = 0;
  each_case([&](const Case& of_case) {
    const auto mask = of_case.mask();
    const auto count = mask.sum().item<int64_t>();
    // MAYE clamps the mean KL of a batch to +-10; where that cut it off, only the policy's part can agree.
    const bool cut = of_case.scalar("ppo/kl_loss") == 10;
    auto options = maye_options(of_case);
    if (cut) options["kl_loss_coefficient"] = 0;
    const auto logprobs = of_case.tokens("new_logprobs").to(at::kDouble).requires_grad_(true);
    const auto loss = create(options)->loss({.logprobs = logprobs,
                                             .entropy = {},
                                             .old_logprobs = of_case.tokens("old_logprobs").to(at::kDouble),
                                             .rollout_logprobs = {},
                                             .reference_logprobs = of_case.tokens("ref_logprobs").to(at::kDouble),
                                             .advantages = of_case.tokens("advantages").to(at::kDouble),
                                             .weights = at::full({count}, 1 / static_cast<double>(count), at::kDouble),
                                             .sequences = at::zeros({count}, at::kLong)});
    const auto tokens = static_cast<double>(count);
    DOCTEST_CHECK(loss.sums.policy_loss == doctest::Approx(of_case.scalar("ppo/policy_loss")).epsilon(1e-6));
    DOCTEST_CHECK((loss.sums.clipped_low + loss.sums.clipped_high) / tokens ==
                  doctest::Approx(of_case.scalar("ppo/clipfrac")));
    if (cut) return;
    with_kl += 1;
    DOCTEST_CHECK(loss.sums.kl_reference / tokens == doctest::Approx(of_case.scalar("ppo/kl_loss")).epsilon(1e-6));
    DOCTEST_CHECK(loss.loss.item<double>() == doctest::Approx(of_case.scalar("ppo/loss")).epsilon(1e-6));
    loss.loss.backward();
    const auto expected = of_case.tokens("ppo/grad_new_logprobs").to(at::kDouble);
    DOCTEST_CHECK((logprobs.grad() - expected).abs().max().item<double>() < 1e-7);
  });
  DOCTEST_CHECK(with_kl == 3);
}
