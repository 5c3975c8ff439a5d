#include "pipeline/update/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "core/stop.h"

namespace sightloop::update {

double learning_rate(const OptimizerOptions& options, int64_t step) {
  if (step < options.warmup_steps)
    return options.learning_rate * static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  if (options.schedule == "constant") return options.learning_rate;
  const auto span = std::max<int64_t>(1, options.total_steps - options.warmup_steps);
  const auto progress = std::min(1.0, static_cast<double>(step - options.warmup_steps) / static_cast<double>(span));
  const double falling = options.schedule == "linear" ? 1 - progress : (1 + std::cos(M_PI * progress)) / 2;
  const double floor = options.min_learning_rate_ratio;
  return options.learning_rate * (floor + (1 - floor) * falling);
}

Optimizer::Optimizer(core::ParameterRegistry& registry, OptimizerOptions options)
    : registry_(registry), options_(std::move(options)) {
  for (auto& parameter : registry.all())
    if (parameter.trainable) parameters_.push_back(&parameter);
}

void Optimizer::allocate() {
  if (!exp_avgs_.empty()) return;
  for (const auto* parameter : parameters_) {
    exp_avgs_.push_back(at::zeros(parameter->value.sizes(), at::kFloat));
    exp_avg_sqs_.push_back(at::zeros(parameter->value.sizes(), at::kFloat));
  }
  updates_.assign(parameters_.size(), 0);
}

void Optimizer::reduce_gradients(collectives::ProcessGroup& ranks) {
  if (ranks.world_size() == 1) return;
  const at::NoGradGuard no_grad;
  std::vector<double> reached;
  for (const auto* parameter : parameters_) reached.push_back(parameter->gradient().defined() ? 1 : 0);
  ranks.max(reached);
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (reached[i] > 0) gradients.push_back(parameters_[i]->gradient_or_zeros());
  ranks.sum(gradients);
}

double Optimizer::grad_norm() const {
  const at::NoGradGuard no_grad;
  double square = 0;
  for (const auto* parameter : parameters_)
    if (const auto& gradient = parameter->gradient(); gradient.defined())
      square += std::pow(gradient.norm().item<double>(), 2);
  return std::sqrt(square);
}

std::vector<std::string> Optimizer::non_finite_gradients() const {
  const at::NoGradGuard no_grad;
  std::vector<std::string> names;
  for (const auto* parameter : parameters_) {
    const auto& gradient = parameter->gradient();
    if (!gradient.defined()) continue;
    for (const auto& slice : parameter->slices)
      if (!gradient.narrow(0, slice.begin, slice.rows).isfinite().all().item<bool>()) names.push_back(slice.name);
  }
  return names;
}

double Optimizer::step(double grad_norm) {
  const at::NoGradGuard no_grad;
  TORCH_INTERNAL_ASSERT(std::isfinite(grad_norm));
  allocate();
  consecutive_skips_ = 0;
  const double rate = learning_rate(options_, steps_++);
  std::vector<at::Tensor> values, gradients, exp_avgs, exp_avg_sqs, steps;
  std::vector<size_t> touched;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& gradient = parameters_[i]->gradient();
    if (!gradient.defined()) continue;  // a part that this minibatch did not touch: no image, say
    values.push_back(parameters_[i]->stepped());
    gradients.push_back(gradient);
    exp_avgs.push_back(exp_avgs_[i]);
    exp_avg_sqs.push_back(exp_avg_sqs_[i]);
    touched.push_back(i);
    steps.push_back(at::scalar_tensor(static_cast<float>(++updates_[i])));
  }
  if (!values.empty()) {
    if (options_.max_grad_norm > 0 && grad_norm > options_.max_grad_norm)
      at::_foreach_mul_(gradients, options_.max_grad_norm / (grad_norm + 1e-6));
    at::_fused_adamw_(values, gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps, rate, options_.beta1,
                      options_.beta2, options_.weight_decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
  for (const auto i : touched) parameters_[i]->round_master();
  registry_.clear_gradients();
  return rate;
}

int64_t Optimizer::bytes() const {
  int64_t bytes = 0;
  for (const auto& moment : exp_avgs_) bytes += 2 * static_cast<int64_t>(moment.nbytes());
  for (const auto* parameter : parameters_)
    if (parameter->master.defined()) bytes += static_cast<int64_t>(parameter->master.nbytes());
  return bytes;
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (size_t i = 0; i < exp_avgs_.size(); ++i)
    for (const auto& slice : parameters_[i]->slices) {
      const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, slice.begin, slice.rows); };
      named.emplace_back("exp_avg/" + slice.name, part(exp_avgs_[i]));
      named.emplace_back("exp_avg_sq/" + slice.name, part(exp_avg_sqs_[i]));
      if (parameters_[i]->master.defined()) named.emplace_back("master/" + slice.name, part(parameters_[i]->master));
      named.emplace_back("step/" + slice.name, at::scalar_tensor(updates_[i], at::kLong));
    }
  return named;
}

void Optimizer::restore(const std::map<std::string, at::Tensor>& state, int64_t steps, int64_t consecutive_skips,
                        const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  exp_avgs_.clear();
  exp_avg_sqs_.clear();
  for (auto* parameter : parameters_) parameter->master = at::Tensor();
  if (!state.empty()) allocate();
  const auto saved = [&](const std::string& name) {
    const auto found = state.find(name);
    TORCH_CHECK(
        found != state.end(), "optimizer state: \"", name,
        "\" is missing. The checkpoint was written with other trainable parts or another dtype; resume with the "
        "same.");
    return found->second;
  };
  for (size_t i = 0; i < exp_avgs_.size(); ++i)
    for (const auto& slice : parameters_[i]->slices) {
      core::throw_if_stopped(stop);
      const auto restore_part = [&](const std::string& prefix, const at::Tensor& whole) {
        const auto name = prefix + slice.name;
        auto target = whole.narrow(0, slice.begin, slice.rows);
        core::check_shape(saved(name), target.sizes(), name);
        target.copy_(saved(name));
      };
      restore_part("exp_avg/", exp_avgs_[i]);
      restore_part("exp_avg_sq/", exp_avg_sqs_[i]);
      const auto updates = saved("step/" + slice.name);
      TORCH_CHECK(updates.numel() == 1 && updates.scalar_type() == at::kLong, "optimizer state: \"step/", slice.name,
                  "\" is not one whole number. Resume from another checkpoint.");
      updates_[i] = updates.item<int64_t>();
      // A parameter that no minibatch has reached has no master yet. State of a narrower model: what its weights were
      // rounded from is what a float32 one goes on with.
      const bool narrow = parameters_[i]->value.scalar_type() != at::kFloat;
      if (updates_[i] > 0 && (narrow || state.contains("master/" + slice.name)))
        restore_part("master/", parameters_[i]->stepped());
    }
  steps_ = steps;
  consecutive_skips_ = consecutive_skips;
}

}  // namespace sightloop::update
