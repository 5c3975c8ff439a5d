#include "models/model.h"

#include "kernels/kernels.h"

namespace sightloop::models {

at::Tensor Model::logits(const at::Tensor& hidden, bool sampling) const {
  const auto& linear = head();
  return sampling && linear.packed.panels.defined() ? linear(hidden, sampling)
                                                    : kernels::head_logits(hidden, linear.weight, linear.products);
}

void Model::set_products(kernels::Products products) {
  const auto set = [products](modules::Linear& linear) { linear.products = products; };
  visit_linears(set);
  visit_vision_linears(set);
}

}  // namespace sightloop::models
