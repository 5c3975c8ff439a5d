#include <ATen/ATen.h>

#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, epsilon);
}

kernels::AddedNorm LayerNorm::of_sum(const at::Tensor& x, const at::Tensor& residual) const {
  const auto sum = x + residual;
  return {.sum = sum, .normed = (*this)(sum)};
}

LayerNorm create_layer_norm(core::ParameterRegistry& registry, core::Part part, const std::string& name, int64_t width,
                            double epsilon) {
  LayerNorm norm{.weight = {}, .bias = {}, .epsilon = epsilon};
  norm.weight = registry.create(at::IntArrayRef{width}, part, name + ".weight");
  norm.bias = registry.create(at::IntArrayRef{width}, part, name + ".bias");
  return norm;
}

}  // namespace sightloop::modules
