#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "kernels/kernels.h"

namespace sightloop::kernels {

CosSin cos_sin(const at::Tensor& angles) {
  TORCH_INTERNAL_ASSERT(angles.scalar_type() == at::kFloat);
  const auto input = angles.contiguous();
  if (!input.is_cpu()) return {.cos = input.cos(), .sin = input.sin()};
  CosSin result{.cos = at::empty_like(input), .sin = at::empty_like(input)};
  const auto* from = input.data_ptr<float>();
  auto *cos = result.cos.data_ptr<float>(), *sin = result.sin.data_ptr<float>();
  at::parallel_for(0, input.numel(), 1 << 11, [&](int64_t begin, int64_t end) {
    for (auto i = begin; i < end; ++i) {
      cos[i] = std::cos(from[i]);
      sin[i] = std::sin(from[i]);
    }
  });
  return result;
}

}  // namespace sightloop::kernels
