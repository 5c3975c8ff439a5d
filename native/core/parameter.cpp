#include "core/parameter.h"

#include <ATen/ATen.h>

#include <utility>

namespace sightloop::core {

at::Tensor Parameter::view(const Slice& slice) const {
  return value.narrow(0, slice.begin, slice.rows).view(slice.shape);
}

const at::Tensor& Parameter::gradient() const {
  return value.scalar_type() == at::kFloat ? value.grad() : gradient_sum;
}

const at::Tensor& Parameter::gradient_or_zeros() {
  if (gradient().defined()) return gradient();
  const auto zeros = at::zeros(value.sizes(), at::kFloat);
  if (value.scalar_type() == at::kFloat)
    value.mutable_grad() = zeros;
  else
    gradient_sum = zeros;
  return gradient();
}

at::Tensor& Parameter::stepped() {
  if (value.scalar_type() == at::kFloat) return value;
  if (!master.defined()) master = value.detach().to(at::kFloat);
  return master;
}

void Parameter::round_master() {
  if (!master.defined()) return;
  const at::NoGradGuard no_grad;
  value.copy_(master);
}

at::Tensor ParameterRegistry::create(at::IntArrayRef shape, Part part, std::vector<Slice> slices) {
  return add(source_(shape, parameters_.size()), part, std::move(slices));
}

at::Tensor ParameterRegistry::add(at::Tensor value, Part part, std::vector<Slice> slices) {
  parameters_.push_back({.value = value, .part = part, .slices = std::move(slices), .master = {}, .gradient_sum = {}});
  return value;
}

at::Tensor ParameterRegistry::create(at::IntArrayRef shape, Part part, std::string name) {
  return create(shape, part, {{.name = std::move(name), .begin = 0, .rows = shape[0], .shape = shape.vec()}});
}

std::vector<at::Tensor> ParameterRegistry::trainable() const {
  std::vector<at::Tensor> tensors;
  for (const auto& parameter : parameters_)
    if (parameter.trainable) tensors.push_back(parameter.value);
  return tensors;
}

void ParameterRegistry::collect_gradients() {
  for (auto& parameter : parameters_) {
    if (parameter.value.scalar_type() == at::kFloat) continue;  // autograd sums in place
    const auto gradient = std::exchange(parameter.value.mutable_grad(), at::Tensor());
    if (!gradient.defined()) continue;
    auto& sum = parameter.gradient_sum;
    sum = sum.defined() ? sum.add_(gradient) : gradient.to(at::kFloat);
  }
}

void ParameterRegistry::clear_gradients() {
  for (auto& parameter : parameters_) {
    parameter.value.mutable_grad() = at::Tensor();
    parameter.gradient_sum = at::Tensor();
  }
}

int64_t ParameterRegistry::num_elements(bool trainable_only) const {
  int64_t count = 0;
  for (const auto& parameter : parameters_)
    if (parameter.trainable || !trainable_only) count += parameter.value.numel();
  return count;
}

}  // namespace sightloop::core
