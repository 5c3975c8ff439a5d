#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "algorithms/options.h"
#include "core/device.h"
#include "doctest/doctest.h"
#include "elsewhere/elsewhere.h"
#include "engine/engine.h"

// The whole engine on a device that is not the host, against itself on the host: on an NVIDIA device where there is one.
namespace engine = sightloop::engine;
namespace batches = sightloop::batches;
namespace rollout = sightloop::rollout;

namespace {

const char* other_device() { return sightloop::core::cuda_devices() > 0 ? "cuda:0" : "elsewhere"; }

std::string checkpoint_of(const std::string& family) {
  return (std::filesystem::path(SIGHTLOOP_ROOT) / "test" / "fixtures" / family / "checkpoint").string();
}

nlohmann::json options_for(const std::string& family, const std::string& device, const nlohmann::json& changes) {
  nlohmann::json options = {
      {"model_path", checkpoint_of(family)},
      {"reference_path", nullptr},
      {"with_reference", true},
      {"dtype", "float32"},
      {"device", device},
      {"image_processor",
       {{"patch_size", 14},
        {"temporal_patch_size", 2},
        {"merge_size", 2},
        {"min_pixels", 28 * 28},
        {"max_pixels", 112 * 112},
        {"rescale_factor", 1 / 255.0},
        {"image_mean", {0.5, 0.5, 0.5}},
        {"image_std", {0.5, 0.5, 0.5}}}},
      {"trainable", {{"train_vision_tower", true}, {"train_connector", true}, {"train_language_model", true}}},
      {"algorithm", algorithm_options("grpo", {{"kl_loss_coefficient", 0.1}, {"entropy_coefficient", 0.01}})},
      {"optimizer",
       {{"learning_rate", 1e-5},
        {"beta1", 0.9},
        {"beta2", 0.99},
        {"epsilon", 1e-8},
        {"weight_decay", 0.01},
        {"max_grad_norm", 1.0},
        {"schedule", "constant"},
        {"warmup_steps", 0},
        {"total_steps", 10},
        {"min_learning_rate_ratio", 0.0}}},
      {"completions_per_update", 8},
      {"tokens_per_microbatch", 60},
      {"update_epochs", 1},
      {"seed", 5},
      {"threads", 1},
      {"activation_checkpointing", false},
      {"pack_weights", true},
      {"deterministic", "run"},
      {"image_cache_bytes", 1 << 20}};
  if (!changes.is_null()) options.update(changes);
  return options;
}

nlohmann::json offloaded(const nlohmann::json& changes) {
  auto given = changes.is_null() ? nlohmann::json::object() : changes;
  given["offload_reference"] = true;
  given["optimizer"] = options_for("", "", {})["optimizer"];
  given["optimizer"]["offload"] = true;
  return given;
}

struct Run {
  engine::Engine engine;
  batches::PromptBatch prompts;

  Run(const std::string& family, const std::string& device, const nlohmann::json& changes)
      : engine(engine::parse_engine_options(options_for(family, device, changes))) {
    std::vector<uint8_t> pixels(56 * 84 * 3);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * i / 7 % 251);
    const auto grid = engine.add_image("picture", pixels.data(), 56, 84);
    const auto image_token = static_cast<int32_t>(engine.model_info().spec.image_token_id);
    std::vector<int32_t> tokens{5, 6, 7}, offsets{0, 3};
    for (int64_t i = 0; i < grid.num_tokens(2); ++i) tokens.push_back(image_token);
    tokens.insert(tokens.end(), {8, 9});
    offsets.push_back(static_cast<int32_t>(tokens.size()));
    tokens.insert(tokens.end(), {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27});
    offsets.push_back(static_cast<int32_t>(tokens.size()));
    prompts = {.prompt_ids = at::arange(3, at::kLong),
               .token_ids = at::tensor(tokens, at::kInt),
               .offsets = at::tensor(offsets, at::kInt),
               .image_ids = {{}, {"picture"}, {}}};
  }

  batches::RolloutBatch sample(const nlohmann::json& changes = {}) {
    nlohmann::json options = {{"max_completion_tokens", 20},
                              {"stop_token_ids", nlohmann::json::array()},
                              {"seed", 3},
                              {"step", 1},
                              {"max_concurrent_completions", 5},
                              {"kv_block_size", 4},
                              {"stream", false},
                              {"temperature", 1.0},
                              {"top_k", 0},
                              {"top_p", 1.0}};
    if (!changes.is_null()) options.update(changes);
    const auto session = engine.open_rollout(engine::parse_sampling_options(options));
    session->add(prompts, 4);
    while (!session->done()) session->advance({});
    return session->collect();
  }

  batches::TrajectoryBatch trajectories(const batches::RolloutBatch& rollouts) {
    auto batch =
        batches::TrajectoryBatch{.rollouts = rollouts,
                                 .policy_logprobs = engine.score(rollouts, engine::Which::policy, 1, {}).logprobs,
                                 .reference_logprobs = engine.score(rollouts, engine::Which::reference, 1, {}).logprobs,
                                 .advantages = {}};
    const auto rewards = at::arange(rollouts.rows(), at::kFloat).remainder(3);
    batch.advantages = engine.advantages(rollouts, rewards, batch.policy_logprobs, batch.reference_logprobs);
    return batch;
  }
};

void check_close(const at::Tensor& a, const at::Tensor& b, double tolerance, const char* what) {
  DOCTEST_CAPTURE(what);
  DOCTEST_REQUIRE(a.sizes() == b.sizes());
  DOCTEST_CHECK(a.is_cpu());
  const auto difference = (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
  DOCTEST_CHECK(difference <= tolerance * std::max(1.0, b.to(at::kDouble).abs().max().item<double>()));
}

void check_same_rollouts(const batches::RolloutBatch& a, const batches::RolloutBatch& b) {
  DOCTEST_REQUIRE(at::equal(a.offsets, b.offsets));
  DOCTEST_CHECK(at::equal(a.token_ids, b.token_ids));
  DOCTEST_CHECK(std::ranges::equal(a.finish_reasons, b.finish_reasons));
  check_close(a.rollout_logprobs, b.rollout_logprobs, 1e-4, "rollout_logprobs");
}

// The token that ends about half of the completions early.
int64_t frequent_token(const batches::RolloutBatch& batch) {
  std::map<int32_t, int> rows;
  const auto tokens = batches::values<int32_t>(batch.token_ids);
  const auto mask = batches::values<uint8_t>(batch.completion_mask);
  for (size_t i = 0; i < tokens.size(); ++i)
    if (mask[i] != 0) rows[tokens[i]] += 1;
  return std::ranges::max_element(rows, {}, [](const auto& entry) { return entry.second; })->first;
}

void check_update(Run& host, Run& device, double tolerance) {
  const auto rollouts = host.sample();
  const auto on_host = host.trajectories(rollouts), on_device = device.trajectories(rollouts);
  check_close(on_device.policy_logprobs, on_host.policy_logprobs, tolerance, "policy_logprobs");
  check_close(on_device.reference_logprobs, on_host.reference_logprobs, tolerance, "reference_logprobs");
  const auto expected = host.engine.inspect_gradients(on_host, 1, {}),
             found = device.engine.inspect_gradients(on_device, 1, {});
  DOCTEST_REQUIRE(found.size() == expected.size());
  for (const auto& [name, gradient] : expected) check_close(found.at(name), gradient, tolerance, name.c_str());
  for (int step = 0; step < 2; ++step) {
    const auto a = host.engine.update(on_host, 1, 0, {}, {}), b = device.engine.update(on_device, 1, 0, {}, {});
    DOCTEST_CHECK(b.loss == doctest::Approx(a.loss).epsilon(10 * tolerance));
    DOCTEST_CHECK(b.grad_norm == doctest::Approx(a.grad_norm).epsilon(10 * tolerance));
    DOCTEST_CHECK(b.optimizer_step == a.optimizer_step);
  }
  check_close(device.engine.score(rollouts, engine::Which::policy, 1, {}).logprobs,
              host.engine.score(rollouts, engine::Which::policy, 1, {}).logprobs, 100 * tolerance,
              "logprobs after two updates");
}

const char* kFamilies[] = {"qwen2_vl", "qwen2_5_vl"};

}  // namespace

DOCTEST_TEST_CASE("on another device: the same completions, whatever ends when") {
  for (const auto* family : kFamilies) {
    DOCTEST_CAPTURE(family);
    Run host(family, "cpu", {}), device(family, other_device(), {});
    const auto before = sightloop::elsewhere::calls();
    const auto plain = host.sample();
    check_same_rollouts(device.sample(), plain);
    DOCTEST_CHECK((sightloop::core::cuda_devices() > 0 || sightloop::elsewhere::calls() > before + 1000));
    const nlohmann::json stops = {{"stop_token_ids", {frequent_token(plain)}}};
    const auto stopped = host.sample(stops);
    DOCTEST_REQUIRE(std::ranges::count(stopped.finish_reasons, batches::FinishReason::stop) > 0);
    check_same_rollouts(device.sample(stops), stopped);
    const nlohmann::json streamed = {
        {"stop_token_ids", stops["stop_token_ids"]}, {"stream", true}, {"temperature", 0.0}};
    check_same_rollouts(device.sample(streamed), host.sample(streamed));
    const nlohmann::json filtered = {{"top_k", 20}, {"top_p", 0.9}, {"max_concurrent_completions", 1}};
    const auto kept = host.sample(filtered), found = device.sample(filtered);
    check_same_rollouts(found, kept);
    check_close(found.sampling_logprobs, kept.sampling_logprobs, 1e-4, "sampling_logprobs");
  }
}

DOCTEST_TEST_CASE("on another device: the same log-probs, gradients and updates") {
  const nlohmann::json lora = {
      {"lora", {{"rank", 4}, {"alpha", 8.0}, {"targets", "all_linear"}}},
      {"trainable", {{"train_vision_tower", false}, {"train_connector", false}, {"train_language_model", true}}}};
  const nlohmann::json changes[] = {{}, {{"activation_checkpointing", true}}, lora};
  for (const auto* family : kFamilies)
    for (const auto& change : changes)
      for (const bool offloads : {false, true}) {
        const auto given = change.is_null() ? nlohmann::json::object() : change;
        DOCTEST_CAPTURE(family);
        DOCTEST_CAPTURE(given.dump());
        DOCTEST_CAPTURE(offloads);
        Run host(family, "cpu", given), device(family, other_device(), offloads ? offloaded(given) : given);
        check_update(host, device, 2e-5);
      }
}

DOCTEST_TEST_CASE("offloaded: the reference is on the device only while it is awake, and what it shares is held once") {
  const auto family = std::string("qwen2_5_vl");
  const nlohmann::json language = {
      {"trainable", {{"train_vision_tower", false}, {"train_connector", false}, {"train_language_model", true}}}};
  const auto folder = checkpoint_of(family);
  const auto config = sightloop::models::read_config(folder);
  for (const bool own : {false, true}) {
    auto changes = offloaded(language);
    if (own) changes["reference_path"] = folder;
    const auto options = engine::parse_engine_options(options_for(family, other_device(), changes));
    const auto policy = sightloop::models::load(folder, options.storage, {});
    for (auto& parameter : policy->parameters().all())
      parameter.trainable = parameter.part == sightloop::core::Part::language_model;
    const engine::Reference reference(options, *policy, config, std::nullopt, {});
    const auto awake = reference.awake();
    for (size_t i = 0; i < policy->parameters().all().size(); ++i) {
      const auto& original = policy->parameters().all()[i];
      const auto &resting = reference.resting().parameters().all()[i].value,
                 &computing = awake->parameters().all()[i].value;
      const bool copied = own || original.trainable;
      DOCTEST_CHECK(resting.is_cpu() == copied);
      DOCTEST_CHECK(computing.device() == original.value.device());
      DOCTEST_CHECK((computing.const_data_ptr() == original.value.const_data_ptr()) == !copied);
      DOCTEST_CHECK(at::equal(computing.cpu(), original.value.cpu()));
    }
  }
}

DOCTEST_TEST_CASE("offloaded: a loaded adapter's reference; where everything is on the host it is refused") {
  const auto folder = std::filesystem::temp_directory_path() / "sightloop-elsewhere-adapter";
  std::filesystem::create_directories(folder);
  nlohmann::json lora = {
      {"lora", {{"rank", 4}, {"alpha", 8.0}, {"targets", "all_linear"}}},
      {"trainable", {{"train_vision_tower", false}, {"train_connector", false}, {"train_language_model", true}}}};
  Run trained("qwen2_vl", "cpu", lora);
  trained.engine.update(trained.trajectories(trained.sample()), 1, 0, {}, {});
  trained.engine.save_adapter(folder.string());
  lora["lora"] = {{"path", folder.string()}};
  Run host("qwen2_vl", "cpu", lora), device("qwen2_vl", other_device(), offloaded(lora));
  std::filesystem::remove_all(folder);
  check_update(host, device, 2e-5);
  DOCTEST_CHECK(device.engine.memory().reference_bytes == host.engine.memory().reference_bytes);
  DOCTEST_CHECK_THROWS(Run("qwen2_vl", "cpu", offloaded({})));
}

DOCTEST_TEST_CASE("on another device: bfloat16 weights, float32 masters; state saved there goes on here") {
  const nlohmann::json narrow = {{"dtype", "bfloat16"}};
  for (const bool offloads : {false, true}) {
    Run device("qwen2_5_vl", other_device(), offloads ? offloaded(narrow) : narrow), host("qwen2_5_vl", "cpu", narrow);
    const auto rollouts = device.sample();
    const auto batch = device.trajectories(rollouts);
    for (int step = 0; step < 2; ++step) device.engine.update(batch, 1, 0, {}, {});
    const auto folder = std::filesystem::temp_directory_path() / "sightloop-elsewhere";
    std::filesystem::create_directories(folder);
    device.engine.save_state(folder.string());
    host.engine.load_state(folder.string(), {});
    std::filesystem::remove_all(folder);
    const auto here = host.engine.score(rollouts, engine::Which::policy, 1, {}).logprobs;
    const auto there = device.engine.score(rollouts, engine::Which::policy, 1, {}).logprobs;
    const auto difference = (here - there).abs();
    DOCTEST_CHECK(difference.max().item<double>() < 0.2);
    DOCTEST_CHECK(difference.mean().item<double>() < 0.03);
    host.engine.update(batch, 1, 0, {}, {});
    DOCTEST_CHECK(host.engine.update(batch, 1, 0, {}, {}).optimizer_step ==
                  device.engine.update(batch, 1, 0, {}, {}).optimizer_step + 2);
    DOCTEST_CHECK(device.engine.inspect(device.prompts).size() == 3);
    DOCTEST_CHECK(device.engine.memory().optimizer_bytes == host.engine.memory().optimizer_bytes);
  }
}
