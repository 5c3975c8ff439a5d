#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "algorithms/algorithm.h"

namespace sightloop::algorithms {

std::unique_ptr<Algorithm> create_cispo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_dapo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_dr_grpo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_grpo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_gspo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_reinforce_plus_plus(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_reinforce_plus_plus_baseline(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_rloo(const nlohmann::json& options);
std::unique_ptr<Algorithm> create_supervised(const nlohmann::json& options);

}  // namespace sightloop::algorithms
