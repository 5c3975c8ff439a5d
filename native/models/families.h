#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "models/model.h"

namespace sightloop::models {

std::unique_ptr<Model> build_qwen2_vl(const nlohmann::json& config, core::ParameterRegistry::Source source);
std::unique_ptr<Model> build_qwen2_5_vl(const nlohmann::json& config, core::ParameterRegistry::Source source);

}  // namespace sightloop::models
