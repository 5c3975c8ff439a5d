#pragma once
#include <ATen/ATen.h>

#include "emulation/cuda.h"

// What the tests of CUDA kernels share. They run the device code on the CPU (emulation/cuda.h) against float64.
namespace sightloop::testing {

using emulation::emulate;

template <typename T>
struct Kind {
  using Scalar = T;
  static constexpr auto dtype = sizeof(T) == 2 ? at::kBFloat16 : at::kFloat;
  // Of one rounding to T, with room for float32 sums.
  static constexpr double tolerance = sizeof(T) == 2 ? 5e-3 : 1e-5;
};

// use(Kind<T>{}, N) for each element type, with 128-bit accesses and with single ones.
template <typename Use>
void each_kind(const Use& use) {
  use(Kind<float>(), std::integral_constant<int, 4>());
  use(Kind<float>(), std::integral_constant<int, 1>());
  use(Kind<c10::BFloat16>(), std::integral_constant<int, 8>());
  use(Kind<c10::BFloat16>(), std::integral_constant<int, 1>());
}

template <typename T>
T* data(const at::Tensor& x) {
  return x.mutable_data_ptr<T>();
}

// |x - exact| <= tolerance (scale + |exact|); NaN is never close.
inline bool close(const at::Tensor& x, const at::Tensor& exact, double tolerance, double scale = 1) {
  return at::allclose(x.to(at::kDouble), exact.to(at::kDouble), tolerance, tolerance * scale);
}

}  // namespace sightloop::testing
