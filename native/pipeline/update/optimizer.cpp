#include "pipeline/update/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pipeline/update/adamw.h"

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

at::Tensor Optimizer::Held::stepped() {
  const auto own = piece.of(parameter->value.view({-1}));
  if (!narrow()) return own;
  if (!master.defined()) master = own.detach().to(home, at::kFloat);
  return master;
}

Optimizer::Optimizer(core::ParameterRegistry& registry, OptimizerOptions options, Shards shards)
    : registry_(registry), options_(std::move(options)), shards_(shards) {
  for (auto& parameter : registry.all())
    if (parameter.trainable)
      held_.push_back({.parameter = &parameter,
                       .piece = shards_.piece(parameter),
                       .home = options_.offload ? at::Device(at::kCPU) : parameter.value.device()});
}

void Optimizer::allocate() {
  for (auto& held : held_) {
    if (held.exp_avg.defined()) return;
    const auto options = at::device(held.home).dtype(at::kFloat);
    held.exp_avg = at::zeros({held.piece.size}, options);
    held.exp_avg_sq = at::zeros({held.piece.size}, options);
  }
}

// Parameters that a gradient has reached on some rank.
std::vector<core::Parameter*> Optimizer::reached(Shards::Gradient gradient) {
  std::vector<double> has_gradient;
  for (const auto& held : held_) has_gradient.push_back((held.parameter->*gradient)().defined() ? 1 : 0);
  shards_.ranks().max(has_gradient);
  std::vector<core::Parameter*> parameters;
  for (size_t i = 0; i < held_.size(); ++i)
    if (has_gradient[i] > 0) parameters.push_back(held_[i].parameter);
  return parameters;
}

void Optimizer::reduce(Shards::Gradient gradient) {
  const auto parameters = reached(gradient);
  if (!shards_.sharded())
    for (auto* parameter : parameters) parameter->ensure_gradient();
  const auto pieces = shards_.reduce(parameters, gradient);
  size_t next = 0;
  for (auto& held : held_) {
    if (next == parameters.size() || parameters[next] != held.parameter) continue;
    const auto& piece = pieces[next++];
    held.gradient = held.gradient.defined() ? held.gradient.add_(piece) : piece;
  }
}

bool Optimizer::reduces_microbatches() const {
  return shards_.sharded() && std::ranges::any_of(held_, [](const Held& held) { return held.parameter->narrow(); });
}

void Optimizer::reduce_microbatch() { reduce(&core::Parameter::microbatch_gradient); }

void Optimizer::reduce_gradients() {
  if (!reduces_microbatches()) reduce(&core::Parameter::gradient);
}

void Optimizer::reduce_whole_gradients() {
  std::vector<at::Tensor> gradients;
  for (auto* parameter : reached(&core::Parameter::gradient)) {
    parameter->ensure_gradient();
    gradients.push_back(parameter->gradient());
  }
  shards_.ranks().sum(gradients);
}

void Optimizer::clear_gradients() {
  registry_.clear_gradients();
  for (auto& held : held_) held.gradient = at::Tensor();
}

double Optimizer::grad_norm() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const auto& held : held_)
    if (held.gradient.defined()) norms.push_back(held.gradient.norm());
  double square = 0;
  if (!norms.empty()) {
    const auto on_host = at::stack(norms).cpu();  // one transfer for all
    for (int64_t i = 0; i < on_host.size(0); ++i) square += std::pow(on_host.const_data_ptr<float>()[i], 2);
  }
  if (shards_.sharded()) shards_.ranks().sum({&square, 1});
  return std::sqrt(square);
}

std::vector<std::string> Optimizer::non_finite_gradients() const {
  const at::NoGradGuard no_grad;
  std::vector<const std::string*> names;
  std::vector<double> not_finite;
  for (const auto& held : held_)
    for (const auto& slice : held.parameter->slices) {
      const auto part = held.parameter->overlap(slice, held.piece.begin, held.piece.size);
      names.push_back(&slice.name);
      not_finite.push_back(
          held.gradient.defined() && part.size > 0 &&
                  !held.gradient.narrow(0, part.begin - held.piece.begin, part.size).isfinite().all().item<bool>()
              ? 1
              : 0);
    }
  if (shards_.sharded()) shards_.ranks().max(not_finite);
  std::vector<std::string> found;
  for (size_t i = 0; i < names.size(); ++i)
    if (not_finite[i] > 0) found.push_back(*names[i]);
  return found;
}

double Optimizer::step(double grad_norm) {
  const at::NoGradGuard no_grad;
  TORCH_INTERNAL_ASSERT(std::isfinite(grad_norm));
  allocate();
  consecutive_skips_ = 0;
  const double rate = learning_rate(options_, steps_++);
  std::vector<Stepping> stepped;
  std::vector<at::Tensor> gradients;
  std::vector<core::Parameter*> touched;
  for (auto& held : held_) {
    if (!held.gradient.defined()) continue;  // a part that this minibatch did not touch: no image, say
    stepped.push_back({.value = held.stepped(),
                       .gradient = held.gradient,
                       .exp_avg = held.exp_avg,
                       .exp_avg_sq = held.exp_avg_sq,
                       .compute = held.narrow() ? held.piece.of(held.parameter->value.view({-1})) : at::Tensor(),
                       .updates = static_cast<float>(++held.updates)});
    gradients.push_back(held.gradient);
    touched.push_back(held.parameter);
  }
  if (!gradients.empty() && options_.max_grad_norm > 0 && grad_norm > options_.max_grad_norm)
    at::_foreach_mul_(gradients, options_.max_grad_norm / (grad_norm + 1e-6));
  options_.offload ? adamw_on_host(stepped, options_, rate) : adamw(stepped, options_, rate);
  shards_.gather(touched);
  clear_gradients();
  return rate;
}

int64_t Optimizer::bytes() const {
  int64_t bytes = 0;
  for (const auto& held : held_)
    for (const auto* tensor : {&held.exp_avg, &held.exp_avg_sq, &held.master})
      if (tensor->defined()) bytes += static_cast<int64_t>(tensor->nbytes());
  return bytes;
}

}  // namespace sightloop::update
