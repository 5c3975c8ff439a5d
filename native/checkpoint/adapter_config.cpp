#include "checkpoint/adapter_config.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <fstream>

#include "checkpoint/json.h"

namespace sightloop::checkpoint {
namespace {

// null, false, 0, "", {} and [] all switch a setting off.
bool is_off(const nlohmann::json& json, const char* key) {
  if (!json.contains(key)) return true;
  const auto& value = json[key];
  return value.is_null() || value == false || (value.is_number() && value == 0) || value == "" ||
         (value.is_structured() && value.empty());
}

bool flag(const nlohmann::json& json, const char* key) {
  return json.contains(key) && json[key].is_boolean() && json[key].get<bool>();
}

}  // namespace

AdapterConfig read_adapter_config(const std::filesystem::path& folder) {
  const auto path = folder / kAdapterConfigFile;
  const auto where = path.string();
  std::ifstream stream(path);
  TORCH_CHECK(stream.good(), where,
              ": cannot be opened. Give a folder that PEFT or a run with model.lora has saved an adapter into.");
  const auto json = parse_json(stream);
  TORCH_CHECK(json.is_object(), where, ": is not a JSON object. Copy it from the adapter's source again.");
  const auto type = json.value("peft_type", nlohmann::json());
  TORCH_CHECK(type == "LORA", where, ": peft_type is ", type.dump(), ", only \"LORA\" is supported.");
  for (const char* key :
       {"use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "trainable_token_indices", "target_parameters",
        "layer_replication", "fan_in_fan_out", "lora_bias", "use_qalora", "arrow_config", "use_bdlora",
        "alora_invocation_tokens", "kasa_config", "monteclora_config", "velora_config"})
    TORCH_CHECK(
        is_off(json, key), where, ": ", key, " is ", json[key].dump(),
        ", which is not supported: only plain LoRA with one rank. Merge the adapter into its base with PEFT, and "
        "give the merged model.");
  TORCH_CHECK(is_off(json, "bias") || json["bias"] == "none", where, ": bias is ", json["bias"].dump(),
              ", only \"none\" is supported. Merge the adapter into its base with PEFT, and give the merged model.");
  // The other ways of starting change the base's weights as well.
  const auto start = json.value("init_lora_weights", nlohmann::json(true));
  TORCH_CHECK(
      start.is_boolean() || start.is_null() || start == "gaussian" || start == "orthogonal" || start == "eva", where,
      ": init_lora_weights is ", start.dump(),
      ", an adapter of which needs a changed base. Convert it to plain LoRA with PEFT, or give the merged model.");
  TORCH_CHECK(json.contains("r") && json["r"].is_number_integer() && json["r"] > 0 && json["r"] <= INT32_MAX, where,
              ": r is not a positive whole number. Copy it from the adapter's source again.");
  TORCH_CHECK(json.contains("lora_alpha") && json["lora_alpha"].is_number(), where,
              ": lora_alpha is not a number. Copy it from the adapter's source again.");
  return {.rank = json["r"], .alpha = json["lora_alpha"], .rslora = flag(json, "use_rslora")};
}

void write_adapter_config(const std::filesystem::path& folder, const AdapterConfig& config,
                          const std::vector<std::string>& targets, const std::string& base_model) {
  std::string names;
  for (const auto& target : targets) names += (names.empty() ? "" : "|") + target;
  const bool whole = config.alpha == std::floor(config.alpha) && std::abs(config.alpha) < 1e9;
  const nlohmann::ordered_json json = {{"peft_type", "LORA"},
                                       {"task_type", "CAUSAL_LM"},
                                       {"base_model_name_or_path", base_model},
                                       {"r", config.rank},
                                       {"lora_alpha", whole ? nlohmann::ordered_json(static_cast<int64_t>(config.alpha))
                                                            : nlohmann::ordered_json(config.alpha)},
                                       {"use_rslora", config.rslora},
                                       {"lora_dropout", 0.0},
                                       {"target_modules", ".*\\.layers\\.\\d+\\.(?:self_attn|mlp)\\.(?:" + names + ")"},
                                       {"bias", "none"},
                                       {"fan_in_fan_out", false},
                                       {"init_lora_weights", true},
                                       {"inference_mode", true},
                                       {"modules_to_save", nullptr}};
  const auto path = folder / kAdapterConfigFile;
  std::ofstream stream(path);
  stream << json.dump(2) << "\n";
  stream.close();
  TORCH_CHECK(stream.good(), path.string(), ": cannot be written. Check free space and permissions.");
}

}  // namespace sightloop::checkpoint
