#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace sightloop::algorithms {

// Estimates of KL(policy || reference) from one sampled token, by d = log policy - log reference, in nats:
//   k1  d                  unbiased, any sign
//   k2  d^2 / 2            its gradient, d grad(log policy), is that of the KL divergence in expectation
//   k3  exp(-d) - 1 + d    unbiased, never negative; its own gradient is not that of the KL divergence
// Source: http://joschu.net/blog/kl-approx.html; gradients: arXiv:2506.09477.
enum class Estimator { k1, k2, k3 };

Estimator estimator_named(const std::string& name);
at::Tensor estimate(Estimator estimator, const at::Tensor& difference);
double estimate(Estimator estimator, double difference);

struct Clamped {
  at::Tensor value;  // no gradient where it is at the bound
  double count;      // elements beyond it
};
// To [-bound, bound], so that exp stays finite.
Clamped clamp_log_ratio(const at::Tensor& log_ratio, double bound);

}  // namespace sightloop::algorithms
