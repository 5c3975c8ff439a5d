#include "kernels/launch.cuh"
#include "kernels/rotate.cuh"

namespace sightloop::kernels::cuda {

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign) {
  core::check_shape(x, {-1, -1, -1}, "rotate.x");
  const auto rows = x.size(0), heads = x.size(1), width = x.size(2), half = width / 2;
  TORCH_INTERNAL_ASSERT(x.is_cuda() && width % 2 == 0 && (x.stride(2) == 1 || width == 1));
  check_like(cos, {rows, half}, at::kFloat, "rotate.cos");
  check_like(sin, {rows, half}, at::kFloat, "rotate.sin");
  auto y = at::empty({rows, heads, width}, x.options());
  if (y.numel() == 0) return y;
  const c10::cuda::CUDAGuard guard(x.device());
  const bool dense = aligned({x, y});
  const auto fits = [&](int n) { return dense && half % n == 0 && x.stride(0) % n == 0 && x.stride(1) % n == 0; };
  with_vector(x, "rotate", fits, [&](auto zero, auto n) {
    using T = decltype(zero);
    const auto count = rows * heads * half / n.value;
    device::rotate_pairs<T, n.value><<<blocks_for(count), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
        x.const_data_ptr<T>(), cos.const_data_ptr<float>(), sin.const_data_ptr<float>(), y.mutable_data_ptr<T>(), count,
        static_cast<int>(heads), static_cast<int>(half), x.stride(0), x.stride(1), sign);
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

}  // namespace sightloop::kernels::cuda
