#include "algorithms/importance.h"

#include <ATen/ATen.h>

#include "algorithms/estimators.h"

namespace sightloop::algorithms {

std::optional<ImportanceCorrection> importance_correction(const nlohmann::json& json) {
  if (json.is_null()) return std::nullopt;
  const auto mode = json.at("mode").get<std::string>(), level = json.at("level").get<std::string>();
  TORCH_CHECK(mode == "truncate" || mode == "mask", "importance_correction.mode \"", mode, "\" is not known");
  TORCH_CHECK(level == "token" || level == "sequence", "importance_correction.level \"", level, "\" is not known");
  const auto cap = json.at("cap").get<double>();
  TORCH_CHECK(cap >= 1, "importance_correction.cap must be at least 1, got ", cap);
  return ImportanceCorrection{.mask = mode == "mask", .sequence = level == "sequence", .cap = cap};
}

at::Tensor sum_by_sequence(const at::Tensor& values, const at::Tensor& sequences) {
  const auto count = sequences.numel() == 0 ? 0 : sequences[-1].item<int64_t>() + 1;
  return at::zeros({count}, values.options().requires_grad(false)).index_add(0, sequences, values);
}

at::Tensor importance_weights(const ImportanceCorrection& correction, const LossInputs& inputs, double log_ratio_clamp,
                              LossSums& sums) {
  auto log_ratio = (inputs.old_logprobs - inputs.rollout_logprobs).detach();
  if (correction.sequence) log_ratio = sum_by_sequence(log_ratio, inputs.sequences);
  const auto raw = clamp_log_ratio(log_ratio, log_ratio_clamp).value.exp();
  auto outside = raw.gt(correction.cap);
  if (correction.mask) outside = outside.logical_or(raw.lt(1 / correction.cap));
  const auto weights = correction.mask ? raw.masked_fill(outside, 0) : raw.clamp_max(correction.cap);
  if (raw.numel() > 0) {
    sums.importance_count += static_cast<double>(raw.numel());
    sums.importance_sum += raw.sum().item<double>();
    sums.importance_squares += raw.square().sum().item<double>();
    sums.importance_capped += outside.sum().item<double>();
    sums.importance_max = std::max(sums.importance_max, raw.max().item<double>());
  }
  return correction.sequence ? weights.index_select(0, inputs.sequences) : weights;
}

}  // namespace sightloop::algorithms
