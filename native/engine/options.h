#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "algorithms/algorithm.h"
#include "models/load.h"
#include "pipeline/data/patches.h"
#include "pipeline/rollout/session.h"
#include "pipeline/update/optimizer.h"

namespace sightloop::engine {

// A new adapter of the language model, or the one in folder `path`. What is not given is the folder's, or else all_linear
// and alpha / rank.
struct LoraOptions {
  std::string path;  // empty: a new one
  std::optional<int64_t> rank;
  std::optional<double> alpha;
  std::optional<bool> rslora;
  std::optional<std::vector<std::string>> targets;
};

// Fields as EngineOptions in the TypeScript layer, which validates them; here only their presence and type is checked.
struct EngineOptions {
  std::string model_path;
  std::string reference_path;  // empty: a frozen copy of the policy
  bool with_reference = false, offload_reference = false;
  models::Storage storage;  // of weights and activations: kFloat or kBFloat16
  data::ImageProcessorSettings image_processor;
  bool train_vision_tower = false, train_connector = false, train_language_model = false;
  std::optional<LoraOptions> lora;  // in place of the language model's own weights, which stay frozen
  std::unique_ptr<algorithms::Algorithm> algorithm;
  update::OptimizerOptions optimizer;
  int64_t completions_per_update = 1, tokens_per_microbatch = 1, update_epochs = 1;
  uint64_t seed = 0;
  int threads = 0;
  bool shard_optimizer = true, shard_parameters = false;  // over ranks
  int64_t reduce_bucket_elements = int64_t{1} << 23;
  bool activation_checkpointing = false, pack_weights = true;
  kernels::Products products = kernels::Products::fastest;  // `deterministic` in the TypeScript layer
  int64_t image_cache_bytes = 0;
};

EngineOptions parse_engine_options(const nlohmann::json& json);
rollout::SamplingOptions parse_sampling_options(const nlohmann::json& json);
data::ImageProcessorSettings parse_image_processor(const nlohmann::json& json);
at::ScalarType parse_dtype(const std::string& name);

}  // namespace sightloop::engine
