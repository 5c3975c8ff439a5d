#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/cpu.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// `sign` -1 rotates back. x and y: rows of `heads` x `width`; a row of x starts every `stride` floats.
SIGHTLOOP_CPU_CLONES void rotate_rows(const float* x, int64_t stride, const float* cos, const float* sin, float* y,
                                      int64_t rows, int64_t heads, int64_t width, float sign) {
  const int64_t half = width / 2;
  for (int64_t row = 0; row < rows; ++row, x += stride, y += heads * width, cos += half, sin += half)
    for (int64_t head = 0; head < heads; ++head) {
      const float *low = x + head * width, *high = low + half;
      float *out_low = y + head * width, *out_high = out_low + half;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        out_low[i] = low[i] * cos[i] - sign * high[i] * sin[i];
        out_high[i] = high[i] * cos[i] + sign * low[i] * sin[i];
      }
    }
}

at::Tensor rotated(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign) {
  if (x.is_cuda()) return cuda::rotate(x.stride(2) == 1 ? x : x.contiguous(), cos, sin, sign);
  const bool packed = x.stride(2) == 1 && x.stride(1) == x.size(2);
  const auto input = packed ? x : x.contiguous();
  const auto rows = x.size(0), heads = x.size(1), width = x.size(2);
  auto y = at::empty(x.sizes(), x.options());
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    rotate_rows(input.data_ptr<float>() + begin * input.stride(0), input.stride(0),
                cos.data_ptr<float>() + begin * (width / 2), sin.data_ptr<float>() + begin * (width / 2),
                y.data_ptr<float>() + begin * heads * width, end - begin, heads, width, sign);
  });
  return y;
}

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotated(x, cos, sin, 1.0F);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    return {rotated(gradients[0], saved[0], saved[1], -1.0F), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rotate_reference(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  const auto c = cos.unsqueeze(1), s = sin.unsqueeze(1);  // [T, 1, H/2]
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).to(x.scalar_type());
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  core::check_shape(cos, {x.size(0), x.size(2) / 2}, "rotate.cos");
  core::check_shape(sin, {x.size(0), x.size(2) / 2}, "rotate.sin");
  const bool fused =
      (x.is_cuda() || (x.is_cpu() && x.scalar_type() == at::kFloat)) && cos.is_contiguous() && sin.is_contiguous();
  if (!fused) return rotate_reference(x, cos, sin);
  return at::GradMode::is_enabled() ? Rotate::apply(x, cos, sin) : rotated(x, cos, sin, 1.0F);
}

}  // namespace sightloop::kernels
