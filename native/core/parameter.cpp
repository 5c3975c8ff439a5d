#include "core/parameter.h"

#include <ATen/ATen.h>

namespace sightloop::core {

at::Tensor Parameter::view(const Slice& slice) const {
  return value.narrow(0, slice.begin, slice.rows).view(slice.shape);
}

at::Tensor ParameterRegistry::create(at::IntArrayRef shape, Part part, std::vector<Slice> slices) {
  auto value = source_(shape, parameters_.size());
  parameters_.push_back({.value = value, .part = part, .slices = std::move(slices)});
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

int64_t ParameterRegistry::num_elements(bool trainable_only) const {
  int64_t count = 0;
  for (const auto& parameter : parameters_)
    if (parameter.trainable || !trainable_only) count += parameter.value.numel();
  return count;
}

}  // namespace sightloop::core
