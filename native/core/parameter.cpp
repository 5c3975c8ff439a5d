#include "core/parameter.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

namespace sightloop::core {
namespace {

// Called by autograd with a parameter whose gradient of one backward pass is whole. The registry outlives its tensors' graphs.
class WholeGradient final : public torch::autograd::PostAccumulateGradHook {
 public:
  WholeGradient(ParameterRegistry& registry, size_t index) : registry_(registry), index_(index) {}
  void operator()(const torch::autograd::Variable& value) override { registry_.gradient_is_whole(index_, value); }

 private:
  ParameterRegistry& registry_;
  size_t index_;
};

}  // namespace

at::Tensor Parameter::view(const Slice& slice) const {
  return value.narrow(0, slice.begin, slice.rows).view(slice.shape);
}

const at::Tensor& Parameter::gradient() const { return narrow() ? gradient_sum : value.grad(); }

void Parameter::ensure_gradient() {
  if (gradient().defined()) return;
  const auto zeros = at::zeros(value.sizes(), value.options().dtype(at::kFloat).requires_grad(false));
  if (value.scalar_type() == at::kFloat)
    value.mutable_grad() = zeros;
  else
    gradient_sum = zeros;
}

void Parameter::clear_gradient() {
  value.mutable_grad() = at::Tensor();
  gradient_sum = at::Tensor();
}

Parameter::Overlap Parameter::overlap(const Slice& slice, int64_t begin, int64_t size) const {
  const auto row = value.size(0) == 0 ? 0 : value.numel() / value.size(0);
  const auto slice_begin = slice.begin * row, slice_size = slice.rows * row;
  const auto first = std::max(begin, slice_begin), end = std::min(begin + size, slice_begin + slice_size);
  return {
      .begin = first, .size = std::max<int64_t>(0, end - first), .slice_begin = slice_begin, .slice_size = slice_size};
}

std::vector<int64_t> Parameter::shape_of(const Slice& slice) const {
  auto shape = value.sizes().vec();
  shape[0] = slice.rows;
  return shape;
}

at::Tensor ParameterRegistry::create(at::IntArrayRef shape, Part part, std::vector<Slice> slices) {
  return add(source_(shape, parameters_.size()), part, std::move(slices));
}

at::Tensor ParameterRegistry::add(at::Tensor value, Part part, std::vector<Slice> slices) {
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

void ParameterRegistry::watch_gradients() {
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].trainable)
      torch::autograd::impl::set_post_acc_grad_hooks(parameters_[i].value, std::make_unique<WholeGradient>(*this, i));
}

void ParameterRegistry::gradient_is_whole(size_t index, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  auto& parameter = parameters_[index];
  if (parameter.narrow() && sums_at_once_) {
    const auto gradient = std::exchange(value.mutable_grad(), at::Tensor());
    auto& sum = parameter.gradient_sum;
    sum = sum.defined() ? sum.add_(gradient) : gradient.to(at::kFloat);
  }
  if (gradient_listener_) gradient_listener_(index);
}

void ParameterRegistry::clear_gradients() {
  for (auto& parameter : parameters_) parameter.clear_gradient();
}

int64_t ParameterRegistry::num_elements(bool trainable_only) const {
  int64_t count = 0;
  for (const auto& parameter : parameters_)
    if (parameter.trainable || !trainable_only) count += parameter.value.numel();
  return count;
}

}  // namespace sightloop::core
