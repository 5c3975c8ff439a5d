#include "kernels/launch.cuh"
#include "kernels/rms_norm.cuh"

namespace sightloop::kernels::cuda {
namespace {

constexpr int64_t kMostThreads = 512;
constexpr int64_t kMostWidth = 48 * 1024 / sizeof(float) - 32;  // the backward kernel's sums fit in shared memory

// residual and sum may be undefined
void launch_rows(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, const at::Tensor& sum,
                 const at::Tensor& y, const at::Tensor& inverse, double epsilon) {
  const auto rows = x.size(0), width = x.size(1);
  if (rows == 0) return;
  const c10::cuda::CUDAGuard guard(x.device());
  const bool dense = aligned({x, weight, y}) && (!residual.defined() || aligned({residual, sum}));
  with_vector(
      x, "rms_norm", [&](int n) { return dense && width % n == 0; },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        device::rms_norm_rows<T, n.value><<<static_cast<unsigned>(rows), threads_for(width / n.value, kMostThreads),
                                            128, c10::cuda::getCurrentCUDAStream()>>>(
            x.const_data_ptr<T>(), residual.defined() ? residual.const_data_ptr<T>() : nullptr,
            weight.const_data_ptr<T>(), sum.defined() ? sum.mutable_data_ptr<T>() : nullptr, y.mutable_data_ptr<T>(),
            inverse.defined() ? inverse.mutable_data_ptr<float>() : nullptr, static_cast<int>(width),
            static_cast<float>(epsilon));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

at::Tensor scales_for(const at::Tensor& x, at::Tensor* inverse) {
  if (inverse == nullptr) return {};
  return *inverse = at::empty({x.size(0)}, x.options().dtype(at::kFloat));
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::Tensor* inverse) {
  check_like(x, {-1, -1}, x.scalar_type(), "rms_norm.x");
  check_like(weight, {x.size(1)}, x.scalar_type(), "rms_norm.weight");
  auto y = at::empty_like(x);
  launch_rows(x, {}, weight, {}, y, scales_for(x, inverse), epsilon);
  return y;
}

std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& residual,
                                                const at::Tensor& weight, double epsilon, at::Tensor* inverse) {
  check_like(x, {-1, -1}, x.scalar_type(), "add_rms_norm.x");
  check_like(residual, x.sizes(), x.scalar_type(), "add_rms_norm.residual");
  check_like(weight, {x.size(1)}, x.scalar_type(), "add_rms_norm.weight");
  const auto sum = at::empty_like(x), normed = at::empty_like(x);
  launch_rows(x, residual, weight, sum, normed, scales_for(x, inverse), epsilon);
  return {sum, normed};
}

RmsNormGradient rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& inverse) {
  check_like(x, {-1, -1}, x.scalar_type(), "rms_norm_backward.x");
  check_like(dy, x.sizes(), x.scalar_type(), "rms_norm_backward.dy");
  check_like(weight, {x.size(1)}, x.scalar_type(), "rms_norm_backward.weight");
  check_like(inverse, {x.size(0)}, at::kFloat, "rms_norm_backward.inverse");
  const auto rows = x.size(0), width = x.size(1);
  TORCH_CHECK(width <= kMostWidth, "rms_norm_backward: rows of ", width, " are wider than ", kMostWidth);
  if (rows == 0) return {.x = at::empty_like(x), .weight = at::zeros_like(weight)};
  const c10::cuda::CUDAGuard guard(x.device());
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const auto parts = (rows + device::kNormRows - 1) / device::kNormRows;
  RmsNormGradient result{.x = at::empty_like(x), .weight = at::empty_like(weight)};
  const auto partial = at::empty({parts, width}, x.options().dtype(at::kFloat));
  const bool dense = aligned({dy, x, weight, result.x});
  with_vector(
      x, "rms_norm_backward", [&](int n) { return dense && width % n == 0; },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        device::rms_norm_backward_rows<T, n.value>
            <<<static_cast<unsigned>(parts), threads_for(width / n.value, kMostThreads), (width + 32) * sizeof(float),
               stream>>>(dy.const_data_ptr<T>(), x.const_data_ptr<T>(), weight.const_data_ptr<T>(),
                         inverse.const_data_ptr<float>(), result.x.mutable_data_ptr<T>(),
                         partial.mutable_data_ptr<float>(), static_cast<int>(rows), static_cast<int>(width));
        C10_CUDA_KERNEL_LAUNCH_CHECK();
        device::sum_columns<T><<<static_cast<unsigned>((width + 31) / 32), 256, 256 * sizeof(float), stream>>>(
            partial.const_data_ptr<float>(), result.weight.mutable_data_ptr<T>(), static_cast<int>(parts),
            static_cast<int>(width));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return result;
}

}  // namespace sightloop::kernels::cuda
