#include "models/model.h"

#include "kernels/kernels.h"

namespace sightloop::models {

at::Tensor Model::logits(const at::Tensor& hidden, bool sampling) const {
  const auto& linear = head();
  return sampling && linear.packed.panels.defined() ? linear(hidden, sampling)
                                                    : kernels::head_logits(hidden, linear.weight);
}

}  // namespace sightloop::models
