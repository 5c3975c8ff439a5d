#include <c10/util/Exception.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "models/families.h"

namespace sightloop::models {
namespace {

struct Family {
  const char* model_type;
  std::unique_ptr<Model> (*build)(const nlohmann::json&, core::ParameterRegistry::Source);
};

// A new family is one file and one line here.
constexpr Family kFamilies[] = {
    {"qwen2_vl", build_qwen2_vl},
    {"qwen2_5_vl", build_qwen2_5_vl},
};

}  // namespace

std::unique_ptr<Model> build(const nlohmann::json& config, core::ParameterRegistry::Source source) {
  TORCH_CHECK(config.is_object() && config.contains("model_type") && config["model_type"].is_string(),
              "config.json: \"model_type\" is missing. Copy config.json from the checkpoint's source again.");
  const auto type = config["model_type"].get<std::string>();
  std::string known;
  for (const auto& family : kFamilies) {
    if (type == family.model_type) return family.build(config, std::move(source));
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  TORCH_CHECK(false, "config.json: model_type \"", type, "\" is not supported. Supported: ", known, ".");
}

nlohmann::json read_config(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  std::ifstream stream(path);
  TORCH_CHECK(stream.good(), path.string(),
              ": cannot be opened. Give a folder in the Hugging Face layout, or make one with `sightloop init`.");
  auto config = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(config.is_object(), path.string(), ": is not a JSON object. Copy it from the checkpoint's source again.");
  return config;
}

}  // namespace sightloop::models
