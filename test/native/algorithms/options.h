#pragma once
#include <nlohmann/json.hpp>
#include <string>

// Options of an algorithm as the TypeScript layer sends them, all switches given.
inline nlohmann::json algorithm_options(const std::string& name, const nlohmann::json& changes = {}) {
  nlohmann::json options = {{"name", name},
                            {"clip_ratio_low", 0.2},
                            {"clip_ratio_high", 0.3},
                            {"dual_clip", nullptr},
                            {"loss_aggregation", "token_mean"},
                            {"loss_block_completions", nullptr},
                            {"max_completion_tokens", 4},
                            {"kl_loss_coefficient", 0.0},
                            {"kl_loss_estimator", "k3"},
                            {"kl_loss_unbiased", false},
                            {"kl_reward_coefficient", 0.0},
                            {"kl_reward_estimator", "k1"},
                            {"log_ratio_clamp", 20.0},
                            {"entropy_coefficient", 0.0},
                            {"importance_correction", nullptr},
                            {"advantage_centre", name == "reinforce_plus_plus" ? "batch" : "group"},
                            {"advantage_scale", name == "reinforce_plus_plus" ? "batch" : "group"},
                            {"skip_zero_advantage_groups", false},
                            {"gamma", 1.0},
                            {"whiten_weight", "sequence"},
                            {"whiten_shift_mean", false},
                            {"whiten_completions", nullptr}};
  if (!changes.is_null()) options.update(changes);
  return options;
}
