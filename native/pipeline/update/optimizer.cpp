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

at::Tensor Optimizer::Held::own() const {
  return parameter->own_piece.defined() ? parameter->own_piece : piece.of(parameter->value.view({-1}));
}

at::Tensor Optimizer::Held::stepped() {
  if (!narrow()) return own();
  if (!master.defined()) master = own().detach().to(home, at::kFloat);
  return master;
}

Optimizer::Optimizer(core::ParameterRegistry& registry, OptimizerOptions options, const Shards& shards,
                     int64_t bucket_elements)
    : registry_(registry), options_(std::move(options)), shards_(shards), reducer_(registry, shards, bucket_elements) {
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

void Optimizer::reduce() {
  const auto pieces = reducer_.finish(reduced_gradient());
  for (size_t i = 0; i < held_.size(); ++i) {
    auto& gradient = held_[i].gradient;
    if (pieces[i].defined()) gradient = gradient.defined() ? gradient.add_(pieces[i]) : pieces[i];
  }
}

bool Optimizer::reduces_microbatches() const {
  return shards_.sharded() && std::ranges::any_of(held_, [](const Held& held) { return held.parameter->narrow(); });
}

void Optimizer::reduce_microbatch() { reduce(); }

void Optimizer::reduce_gradients() {
  if (!reduces_microbatches()) reduce();
}

void Optimizer::clear_gradients() {
  registry_.clear_gradients();
  reducer_.reset();
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
                       .compute = held.narrow() ? held.own() : at::Tensor(),
                       .updates = static_cast<float>(++held.updates)});
    gradients.push_back(held.gradient);
    if (!held.parameter->own_piece.defined()) touched.push_back(held.parameter);
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
