#include <ATen/ATen.h>

#include "kernels/kernels.h"
#include "modules/modules.h"

namespace sightloop::modules {

namespace {

constexpr int64_t kMostPackedRows = 512;  // from there on the unpacked product is faster

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x, bool sampling) const {
  const bool packs = sampling && packed.panels.defined() && x.size(0) <= kMostPackedRows;
  if (packs) return kernels::packed_linear(x, packed, bias);
  if (low_rank) return kernels::low_rank_linear(x, weight, bias, *low_rank);
  return kernels::linear(x, weight, bias, products);
}

void Linear::pack() {
  const at::NoGradGuard no_grad;
  if (weight.scalar_type() != at::kFloat) return;
  packed = kernels::pack_weight(low_rank ? kernels::merged_weight(weight, *low_rank) : weight);
}

Linear create_linear(core::ParameterRegistry& registry, core::Part part, const std::vector<std::string>& names,
                     const std::vector<int64_t>& rows, int64_t inputs, bool with_bias) {
  Linear linear;
  std::vector<core::Slice> weights, biases;
  int64_t total = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    weights.push_back({.name = names[i] + ".weight", .begin = total, .rows = rows[i], .shape = {rows[i], inputs}});
    biases.push_back({.name = names[i] + ".bias", .begin = total, .rows = rows[i], .shape = {rows[i]}});
    linear.projections.push_back({.name = names[i], .begin = total, .rows = rows[i]});
    total += rows[i];
  }
  linear.weight = registry.create({total, inputs}, part, std::move(weights));
  if (with_bias) linear.bias = registry.create(at::IntArrayRef{total}, part, std::move(biases));
  return linear;
}

}  // namespace sightloop::modules
