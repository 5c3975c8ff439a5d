#include <ATen/ATen.h>

#include "kernels/kernels.h"
#include "modules/modules.h"

namespace sightloop::modules {

namespace {

constexpr int64_t kMostPackedRows = 512;  // from there on the unpacked product is faster

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool sampling) const {
  const bool packs = sampling && packed.panels.defined() && x.size(0) <= kMostPackedRows;
  return packs ? kernels::packed_linear(x, packed, bias) : kernels::linear(x, weight, bias, products);
}

void Linear::pack() {
  if (weight.scalar_type() == at::kFloat) packed = kernels::pack_weight(weight.detach());
}

Linear create_linear(core::ParameterRegistry& registry, core::Part part, const std::vector<std::string>& names,
                     const std::vector<int64_t>& rows, int64_t inputs, bool with_bias) {
  std::vector<core::Slice> weights, biases;
  int64_t total = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    weights.push_back({.name = names[i] + ".weight", .begin = total, .rows = rows[i], .shape = {rows[i], inputs}});
    biases.push_back({.name = names[i] + ".bias", .begin = total, .rows = rows[i], .shape = {rows[i]}});
    total += rows[i];
  }
  Linear linear;
  linear.weight = registry.create({total, inputs}, part, std::move(weights));
  if (with_bias) linear.bias = registry.create(at::IntArrayRef{total}, part, std::move(biases));
  return linear;
}

}  // namespace sightloop::modules
