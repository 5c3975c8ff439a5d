#include "kernels/kernels.h"
#include "modules/modules.h"

namespace sightloop::modules {

at::Tensor RmsNorm::operator()(const at::Tensor& x) const { return kernels::rms_norm(x, weight, epsilon); }

kernels::AddedNorm RmsNorm::of_sum(const at::Tensor& x, const at::Tensor& residual) const {
  return kernels::add_rms_norm(x, residual, weight, epsilon);
}

RmsNorm create_rms_norm(core::ParameterRegistry& registry, core::Part part, const std::string& name, int64_t width,
                        double epsilon) {
  return {.weight = registry.create(at::IntArrayRef{width}, part, name + ".weight"), .epsilon = epsilon};
}

}  // namespace sightloop::modules
