#include "engine/engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <thread>

#include "core/device.h"
#include "kernels/kernels.h"
#include "models/load.h"
#include "models/lora.h"
#include "modules/contexts.h"
#include "pipeline/data/positions.h"

namespace sightloop::engine {
namespace {

void mark_trainable(models::Model& model, const EngineOptions& options) {
  for (auto& parameter : model.parameters().all()) {
    switch (parameter.part) {
      case core::Part::vision_tower:
        parameter.trainable = options.train_vision_tower;
        break;
      case core::Part::connector:
        parameter.trainable = options.train_connector;
        break;
      case core::Part::language_model:
        parameter.trainable = options.train_language_model && !options.lora;
        break;
      case core::Part::adapter:
        parameter.trainable = options.train_language_model;
        break;
    }
    parameter.value.requires_grad_(parameter.trainable);
  }
}

// What the options ask for, or the folder's own where they leave it open; they must not contradict it.
models::Lora resolve_lora(const LoraOptions& options, models::Model& model, const models::AdapterFolder* folder) {
  if (folder == nullptr)
    return {{.rank = *options.rank, .alpha = *options.alpha, .rslora = options.rslora.value_or(false)},
            models::lora_targets(model, options.targets.value_or(std::vector<std::string>{"all_linear"}))};
  const auto& held = folder->lora();
  const auto agree = [&](const char* key, const auto& asked, const auto& value) {
    TORCH_CHECK(!asked || *asked == value, "model.lora.", key, " is ", *asked, ", but the adapter in ", options.path,
                " has ", value, ". Leave ", key, " out to take the adapter's.");
  };
  agree("rank", options.rank, held.rank);
  agree("alpha", options.alpha, held.alpha);
  const auto named = [](bool value) { return std::string(value ? "true" : "false"); };
  agree("rslora", options.rslora ? std::optional(named(*options.rslora)) : std::nullopt, named(held.rslora));
  if (options.targets) agree("targets", std::optional(models::lora_targets(model, *options.targets)), held.targets);
  return held;
}

}  // namespace

Engine::Engine(EngineOptions options, const models::Progress& progress,
               std::shared_ptr<collectives::ProcessGroup> ranks)
    : options_(std::move(options)),
      ranks_(std::move(ranks)),
      shards_(*ranks_, options_.shard_optimizer),
      images_(options_.image_processor, options_.image_cache_bytes) {
  at::set_num_threads(options_.threads > 0 ? options_.threads : static_cast<int>(std::thread::hardware_concurrency()));
  core::use_device(options_.storage.device);
  config_ = models::read_config(options_.model_path);
  load_weights(progress);
  TORCH_CHECK(policy_->spec().spatial_merge_size == options_.image_processor.merge_size, options_.model_path,
              ": config.json merges ", policy_->spec().spatial_merge_size,
              " patches a side, the image processor's merge_size is ", options_.image_processor.merge_size,
              ". The files belong to different checkpoints.");
  const auto& settings = options_.image_processor;
  const auto patch = 3 * settings.temporal_patch_size * settings.patch_size * settings.patch_size;
  TORCH_CHECK(policy_->spec().patch_elements == patch, options_.model_path, ": config.json expects patches of ",
              policy_->spec().patch_elements, " values, the image processor makes ", patch,
              ". The files belong to different checkpoints.");
  mark_trainable(*policy_, options_);
  policy_->parameters().watch_gradients();
  policy_->set_activation_checkpointing(options_.activation_checkpointing);
  policy_->set_products(options_.products);
  if (options_.with_reference) reference_ = std::make_unique<Reference>(options_, *policy_, config_, lora_, progress);
  optimizer_ = std::make_unique<update::Optimizer>(policy_->parameters(), options_.optimizer, shards_,
                                                   options_.reduce_bucket_elements);
}

// A mistake in the adapter shows on a model without storage, before the weights are read.
void Engine::load_weights(const models::Progress& progress) {
  std::optional<models::AdapterFolder> folder;
  if (options_.lora) {
    const auto shapes = models::build(
        config_, models::at_most(int64_t{1} << 50, options_.model_path + ": config.json asks for more than any memory.",
                                 models::without_storage(options_.storage.dtype)));
    if (!options_.lora->path.empty()) folder.emplace(options_.lora->path, *shapes);
    lora_ = resolve_lora(*options_.lora, *shapes, folder ? &*folder : nullptr);
    models::add_lora(*shapes, *lora_);
    if (folder) folder->fill(*shapes);
  }
  policy_ = models::load(options_.model_path, options_.storage, progress);
  if (!lora_) return;
  models::add_lora(*policy_, *lora_);
  if (folder)
    folder->fill(*policy_);
  else
    models::initialize_lora(*policy_, options_.seed);
}

ModelInfo Engine::model_info() const {
  return {.spec = policy_->spec(),
          .dtype = policy_->dtype(),
          .num_parameters = policy_->parameters().num_elements(/*trainable_only=*/false),
          .num_trainable_parameters = policy_->parameters().num_elements(/*trainable_only=*/true)};
}

data::GridThw Engine::add_image(const std::string& id, const uint8_t* rgb, int64_t height, int64_t width) {
  return images_.add(id, rgb, height, width);
}

void Engine::check_tokens(const at::Tensor& token_ids) const {
  const auto vocabulary = policy_->spec().vocab_size;
  for (const auto token : batches::values<int32_t>(token_ids))
    TORCH_CHECK(token >= 0 && token < vocabulary, "token id ", token, " is outside the model's vocabulary of ",
                vocabulary, ". The tokenizer does not belong to the checkpoint.");
}

batches::PositionsOf Engine::positions_of() const {
  return [this](std::span<const int32_t> tokens, const std::vector<std::string>& image_ids) -> core::PromptPositions {
    std::vector<data::GridThw> grids;
    for (const auto& id : image_ids) grids.push_back(images_.grid(id));
    const auto& spec = policy_->spec();
    const auto placed = data::rope_positions(tokens, grids,
                                             {.image_token_id = spec.image_token_id,
                                              .video_token_id = spec.video_token_id,
                                              .merge_size = spec.spatial_merge_size});
    return {.positions = placed.positions, .delta = placed.delta};
  };
}

// Frozen features are shared by policy and reference unless the reference has weights of its own.
batches::FeaturesOf Engine::features_of(const models::Model& model) {
  const bool cached = !vision_learns() && (&model == policy_.get() || options_.reference_path.empty());
  return [this, &model, cached](const std::vector<std::string>& ids) { return images_.features(model, ids, cached); };
}

void Engine::check_whole() const {
  for (const auto& parameter : policy_->parameters().all())
    TORCH_CHECK(!parameter.own_piece.defined(),
                "the last update failed while the ranks held the weights in pieces. Open the engine again.");
}

// Whoever holds something made from the weights must let go of it.
void Engine::weights_change() {
  ++weights_version_;
  policy_->visit_linears([](modules::Linear& linear) { linear.unpack(); });
}

std::shared_ptr<rollout::Session> Engine::open_rollout(rollout::SamplingOptions options) {
  check_whole();
  if (options_.pack_weights && policy_->device().is_cpu())
    policy_->visit_linears([](modules::Linear& linear) {
      if (!linear.packed.panels.defined()) linear.pack();
    });
  const auto& spec = policy_->spec();
  for (auto& setting : options.settings) setting.sample.banned = {spec.image_token_id, spec.video_token_id};
  const auto check_weights = [this, opened_at = weights_version_] {
    TORCH_CHECK(
        weights_version_ == opened_at,
        "the weights changed since this rollout session was opened: finish or close it before update or loadState");
  };
  std::erase_if(sessions_, [](const auto& session) { return session.expired(); });
  auto session = std::make_shared<rollout::Session>(
      *policy_, std::move(options), positions_of(), features_of(*policy_), [this] { return images_.num_encoded(); },
      check_weights, static_cast<int32_t>(optimizer_->steps()));
  sessions_.push_back(session);
  return session;
}

trajectory::Scores Engine::score(const batches::RolloutBatch& batch, Which which, double temperature,
                                 const std::stop_token& stop) {
  TORCH_CHECK(which == Which::policy || reference_, "score: this engine was opened without a reference");
  check_whole();
  check_tokens(batch.token_ids);
  const auto reference = which == Which::reference ? reference_->awake() : nullptr;
  const auto& model = reference ? *reference : *policy_;
  return trajectory::score(model, batch, positions_of(), features_of(model), temperature,
                           options_.tokens_per_microbatch, stop);
}

at::Tensor Engine::advantages(const batches::RolloutBatch& batch, const at::Tensor& rewards,
                              const at::Tensor& policy_logprobs, const at::Tensor& reference_logprobs) {
  using batches::values;
  const auto result = options_.algorithm->advantages({.prompt_ids = values<int64_t>(batch.prompt_ids),
                                                      .offsets = values<int32_t>(batch.offsets),
                                                      .completion_mask = values<uint8_t>(batch.completion_mask),
                                                      .rewards = values<float>(rewards),
                                                      .policy_logprobs = values<float>(policy_logprobs),
                                                      .reference_logprobs = reference_logprobs.defined()
                                                                                ? values<float>(reference_logprobs)
                                                                                : std::span<const float>()});
  return at::tensor(result, at::kDouble).to(at::kFloat);
}

update::Learner Engine::learner() {
  return {.model = *policy_,
          .optimizer = *optimizer_,
          .shards = shards_,
          .algorithm = *options_.algorithm,
          .ranks = *ranks_,
          .positions_of = positions_of(),
          .features_of = features_of(*policy_)};
}

update::UpdateOptions Engine::update_options(double temperature, int64_t max_consecutive_skips,
                                             std::vector<uint8_t> own_rows) const {
  return {.completions_per_update = options_.completions_per_update,
          .tokens_per_microbatch = options_.tokens_per_microbatch,
          .update_epochs = options_.update_epochs,
          .temperature = temperature,
          .seed = options_.seed,
          .max_consecutive_skips = max_consecutive_skips,
          .own_rows = std::move(own_rows),
          .shard_parameters = options_.shard_parameters && shards_.sharded()};
}

update::UpdateStats Engine::update(const batches::TrajectoryBatch& batch, double temperature,
                                   int64_t max_consecutive_skips, std::vector<uint8_t> own_rows,
                                   const std::stop_token& stop) {
  TORCH_CHECK(policy_->parameters().num_elements(/*trainable_only=*/true) > 0,
              "update: nothing is trainable. Switch on train_language_model, train_connector or train_vision_tower.");
  TORCH_CHECK(own_rows.empty() || static_cast<int64_t>(own_rows.size()) == batch.rollouts.rows(),
              "update: own_rows has ", own_rows.size(), " entries, the batch ", batch.rollouts.rows(), " rows");
  TORCH_CHECK(!options_.algorithm->needs_reference() || batch.reference_logprobs.defined(),
              "update: the algorithm's KL term needs reference log-probs; score the rollouts with \"reference\" first");
  check_whole();
  check_tokens(batch.rollouts.token_ids);
  auto learning = learner();
  weights_change();
  return update::update(learning, batch, update_options(temperature, max_consecutive_skips, std::move(own_rows)), stop);
}

std::vector<std::map<std::string, at::Tensor>> Engine::inspect(const batches::PromptBatch& prompts) {
  const at::NoGradGuard no_grad;
  check_whole();
  check_tokens(prompts.token_ids);
  std::vector<std::map<std::string, at::Tensor>> results;
  const auto offsets = batches::values<int32_t>(prompts.offsets);
  const auto tokens = batches::values<int32_t>(prompts.token_ids);
  for (int64_t row = 0; row < prompts.rows(); ++row) {
    const auto prompt = tokens.subspan(offsets[row], offsets[row + 1] - offsets[row]);
    const auto length = static_cast<int64_t>(prompt.size());
    core::Taps taps;
    const auto placed = positions_of()(prompt, prompts.image_ids[row]);
    const auto features = images_.features(*policy_, prompts.image_ids[row], /*cached=*/false);
    if (features.defined()) core::tap(&taps, "image_features", features);
    const auto token_ids = prompts.token_ids.slice(0, offsets[row], offsets[row + 1]).to(at::kLong);
    modules::PackedContext context(kernels::segment_layout(std::vector<int64_t>{0, length}, /*causal=*/true));
    const auto hidden = policy_->forward(policy_->embed(token_ids, features), placed.positions, context, &taps);
    core::tap(&taps, "logits", policy_->logits(hidden, /*sampling=*/false));
    core::tap(&taps, "position_ids", placed.positions.to(at::kFloat));
    core::tap(&taps, "rope_delta", at::scalar_tensor(static_cast<float>(placed.delta)));
    results.push_back(std::move(taps.tensors));
  }
  return results;
}

std::map<std::string, at::Tensor> Engine::inspect_gradients(const batches::TrajectoryBatch& batch, double temperature,
                                                            std::vector<uint8_t> own_rows) {
  check_whole();
  auto learning = learner();
  update::accumulate_gradients(learning, batch,
                               update_options(temperature, /*max_consecutive_skips=*/0, std::move(own_rows)));
  std::map<std::string, at::Tensor> gradients;
  for (const auto& parameter : policy_->parameters().all()) {
    const auto& gradient = parameter.gradient();
    if (!gradient.defined()) continue;
    for (const auto& slice : parameter.slices)
      gradients[slice.name] = gradient.narrow(0, slice.begin, slice.rows).view(slice.shape).cpu().contiguous();
  }
  policy_->parameters().clear_gradients();
  return gradients;
}

}  // namespace sightloop::engine
