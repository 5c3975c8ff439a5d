#include "engine/options.h"

#include <c10/util/Exception.h>

namespace sightloop::engine {
namespace {

// A number, or `absent` for null.
double number_or(const nlohmann::json& json, const char* key, double absent) {
  const auto& value = json.at(key);
  return value.is_null() ? absent : value.get<double>();
}

bool has(const nlohmann::json& json, const char* key) { return json.contains(key) && !json[key].is_null(); }

LoraOptions parse_lora(const nlohmann::json& json) {
  LoraOptions lora;
  if (has(json, "path")) lora.path = json["path"];
  if (has(json, "rank")) lora.rank = json["rank"].get<int64_t>();
  if (has(json, "alpha")) lora.alpha = json["alpha"].get<double>();
  if (has(json, "rslora")) lora.rslora = json["rslora"].get<bool>();
  if (has(json, "targets"))
    lora.targets = json["targets"].is_string() ? std::vector<std::string>{json["targets"].get<std::string>()}
                                               : json["targets"].get<std::vector<std::string>>();
  TORCH_CHECK(!lora.path.empty() || (lora.rank && lora.alpha), "model.lora: give rank and alpha, or path");
  return lora;
}

void check_positive(const char* name, int64_t value) { TORCH_CHECK(value > 0, name, " must be positive, got ", value); }

kernels::Products parse_deterministic(const std::string& name, const models::Storage& storage) {
  TORCH_CHECK(name == "run" || name == "batch_invariant", "deterministic must be run or batch_invariant, got \"", name,
              "\"");
  if (name == "run") return kernels::Products::fastest;
  TORCH_CHECK(storage.device.is_cpu(), "deterministic: batch_invariant is made for the CPU; the device is ",
              storage.device.str(), ". Set device: cpu, or deterministic: run.");
  TORCH_CHECK(storage.dtype == at::kFloat,
              "deterministic: batch_invariant needs dtype float32: products in bfloat16 are "
              "libtorch's, and the last bits of a row change with the number of rows. Set dtype: float32.");
  return kernels::Products::batch_invariant;
}

kernels::SampleOptions parse_sample_options(const nlohmann::json& json) {
  const kernels::SampleOptions sample{
      .temperature = json.at("temperature"), .top_k = json.at("top_k"), .top_p = json.at("top_p"), .banned = {}};
  TORCH_CHECK(sample.temperature >= 0, "temperature must be 0 or more, got ", sample.temperature);
  TORCH_CHECK(sample.top_k >= 0, "top_k must be 0 or more, got ", sample.top_k);
  TORCH_CHECK(sample.top_p > 0 && sample.top_p <= 1, "top_p must be in (0, 1], got ", sample.top_p);
  return sample;
}

}  // namespace

at::ScalarType parse_dtype(const std::string& name) {
  TORCH_CHECK(name == "float32" || name == "bfloat16", "dtype must be float32 or bfloat16, got \"", name, "\"");
  return name == "float32" ? at::kFloat : at::kBFloat16;
}

data::ImageProcessorSettings parse_image_processor(const nlohmann::json& json) {
  const data::ImageProcessorSettings settings{.patch_size = json.at("patch_size"),
                                              .temporal_patch_size = json.at("temporal_patch_size"),
                                              .merge_size = json.at("merge_size"),
                                              .min_pixels = json.at("min_pixels"),
                                              .max_pixels = json.at("max_pixels"),
                                              .rescale_factor = json.at("rescale_factor"),
                                              .image_mean = json.at("image_mean"),
                                              .image_std = json.at("image_std")};
  data::check_settings(settings);
  return settings;
}

EngineOptions parse_engine_options(const nlohmann::json& json) {
  const auto& trainable = json.at("trainable");
  const auto& optimizer = json.at("optimizer");
  EngineOptions options;
  options.model_path = json.at("model_path");
  options.reference_path = json.at("reference_path").is_null() ? "" : json.at("reference_path").get<std::string>();
  options.with_reference = json.at("with_reference");
  options.storage = {.dtype = parse_dtype(json.at("dtype")), .device = at::Device(json.value("device", "cpu"))};
  options.offload_reference = json.value("offload_reference", false);
  options.image_processor = parse_image_processor(json.at("image_processor"));
  options.train_vision_tower = trainable.at("train_vision_tower");
  options.train_connector = trainable.at("train_connector");
  options.train_language_model = trainable.at("train_language_model");
  if (has(json, "lora")) options.lora = parse_lora(json["lora"]);
  options.algorithm = algorithms::create(json.at("algorithm"));
  options.optimizer = {.learning_rate = optimizer.at("learning_rate"),
                       .beta1 = optimizer.at("beta1"),
                       .beta2 = optimizer.at("beta2"),
                       .epsilon = optimizer.at("epsilon"),
                       .weight_decay = optimizer.at("weight_decay"),
                       .max_grad_norm = number_or(optimizer, "max_grad_norm", 0),
                       .schedule = optimizer.at("schedule"),
                       .warmup_steps = optimizer.at("warmup_steps"),
                       .total_steps = optimizer.at("total_steps"),
                       .min_learning_rate_ratio = optimizer.at("min_learning_rate_ratio"),
                       .offload = optimizer.value("offload", false)};
  TORCH_CHECK(!options.storage.device.is_cpu() || !(options.optimizer.offload || options.offload_reference),
              "offloading to host memory has no meaning with device cpu: everything lies there. Leave it out.");
  options.completions_per_update = json.at("completions_per_update");
  options.tokens_per_microbatch = json.at("tokens_per_microbatch");
  options.update_epochs = json.at("update_epochs");
  check_positive("completions_per_update", options.completions_per_update);
  check_positive("tokens_per_microbatch", options.tokens_per_microbatch);
  check_positive("update_epochs", options.update_epochs);
  options.seed = json.at("seed");
  options.threads = json.at("threads");
  options.shard_optimizer = json.value("shard_optimizer", true);
  options.shard_parameters = json.value("shard_parameters", false);
  options.reduce_bucket_elements = json.value("reduce_bucket_elements", options.reduce_bucket_elements);
  check_positive("reduce_bucket_elements", options.reduce_bucket_elements);
  options.activation_checkpointing = json.at("activation_checkpointing");
  TORCH_CHECK(!options.shard_parameters || (options.shard_optimizer && options.activation_checkpointing),
              "shard_parameters needs shard_optimizer and activation_checkpointing.");
  options.pack_weights = json.at("pack_weights");
  options.products = parse_deterministic(json.at("deterministic"), options.storage);
  options.image_cache_bytes = json.at("image_cache_bytes");
  return options;
}

rollout::SamplingOptions parse_sampling_options(const nlohmann::json& json) {
  rollout::SamplingOptions options{.settings = {},
                                   .max_completion_tokens = json.at("max_completion_tokens"),
                                   .stop_token_ids = json.at("stop_token_ids"),
                                   .seed = json.at("seed"),
                                   .step = json.at("step"),
                                   .max_concurrent_completions = json.at("max_concurrent_completions"),
                                   .kv_block_size = json.at("kv_block_size"),
                                   .stream = json.at("stream")};
  if (has(json, "settings") && !json["settings"].empty())
    for (const auto& setting : json["settings"])
      options.settings.push_back(
          {.sample = parse_sample_options(setting), .completions_per_prompt = setting.at("completions_per_prompt")});
  else
    options.settings.push_back({.sample = parse_sample_options(json), .completions_per_prompt = 1});
  for (const auto& setting : options.settings) check_positive("completions_per_prompt", setting.completions_per_prompt);
  check_positive("max_completion_tokens", options.max_completion_tokens);
  check_positive("max_concurrent_completions", options.max_concurrent_completions);
  check_positive("kv_block_size", options.kv_block_size);
  return options;
}

}  // namespace sightloop::engine
