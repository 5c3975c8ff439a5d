#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

constexpr int64_t kBlockElements = int64_t{1} << 20;  // weights widened at once: they stay in the cache

}  // namespace

at::Tensor head_logits(const at::Tensor& hidden, const at::Tensor& weight, Products products) {
  core::check_shape(weight, {-1, hidden.size(1)}, "lm_head.weight");
  if (c10::elementSize(weight.scalar_type()) >= sizeof(float))
    return product(hidden, weight, {}, products).to(at::kFloat);
  if (hidden.is_cuda()) return at::mm(hidden, weight.t(), at::kFloat);
  const auto wide = hidden.to(at::kFloat);
  const auto vocabulary = weight.size(0), step = std::max<int64_t>(64, kBlockElements / weight.size(1));
  auto logits = at::empty({hidden.size(0), vocabulary}, wide.options());
  for (int64_t begin = 0; begin < vocabulary; begin += step) {
    const auto count = std::min(step, vocabulary - begin);
    logits.narrow(1, begin, count).copy_(product(wide, weight.narrow(0, begin, count).to(at::kFloat), {}));
  }
  return logits;
}

}  // namespace sightloop::kernels
