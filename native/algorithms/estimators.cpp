#include "algorithms/estimators.h"

#include <ATen/ATen.h>

#include <cmath>

namespace sightloop::algorithms {

Estimator estimator_named(const std::string& name) {
  if (name == "k1") return Estimator::k1;
  if (name == "k2") return Estimator::k2;
  TORCH_CHECK(name == "k3", "KL estimator \"", name, "\" is not known: k1, k2 or k3");
  return Estimator::k3;
}

at::Tensor estimate(Estimator estimator, const at::Tensor& difference) {
  switch (estimator) {
    case Estimator::k1:
      return difference;
    case Estimator::k2:
      return difference.square() / 2;
    case Estimator::k3:
      break;
  }
  return (-difference).exp() - 1 + difference;
}

double estimate(Estimator estimator, double difference) {
  switch (estimator) {
    case Estimator::k1:
      return difference;
    case Estimator::k2:
      return difference * difference / 2;
    case Estimator::k3:
      break;
  }
  return std::exp(-difference) - 1 + difference;
}

Clamped clamp_log_ratio(const at::Tensor& log_ratio, double bound) {
  return {.value = log_ratio.clamp(-bound, bound), .count = log_ratio.detach().abs().gt(bound).sum().item<double>()};
}

}  // namespace sightloop::algorithms
