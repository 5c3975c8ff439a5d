#include "kernels/launch.cuh"
#include "kernels/swiglu.cuh"

namespace sightloop::kernels::cuda {

at::Tensor swiglu(const at::Tensor& gate_up) {
  check_like(gate_up, {-1, -1}, gate_up.scalar_type(), "swiglu.gate_up");
  const auto rows = gate_up.size(0), width = gate_up.size(1) / 2;
  auto y = at::empty({rows, width}, gate_up.options());
  if (y.numel() == 0) return y;
  const c10::cuda::CUDAGuard guard(gate_up.device());
  const bool dense = aligned({gate_up, y});
  with_vector(
      gate_up, "swiglu", [&](int n) { return dense && width % n == 0; },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        const auto count = rows * width / n.value;
        device::swiglu_forward<T, n.value><<<blocks_for(count), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
            gate_up.const_data_ptr<T>(), y.mutable_data_ptr<T>(), count, static_cast<int>(width));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return y;
}

at::Tensor swiglu_backward(const at::Tensor& gate_up, const at::Tensor& dh) {
  check_like(gate_up, {-1, -1}, gate_up.scalar_type(), "swiglu_backward.gate_up");
  const auto rows = gate_up.size(0), width = gate_up.size(1) / 2;
  check_like(dh, {rows, width}, gate_up.scalar_type(), "swiglu_backward.dh");
  auto d = at::empty_like(gate_up);
  if (d.numel() == 0) return d;
  const c10::cuda::CUDAGuard guard(gate_up.device());
  const bool dense = aligned({gate_up, dh, d});
  with_vector(
      gate_up, "swiglu_backward", [&](int n) { return dense && width % n == 0; },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        const auto count = rows * width / n.value;
        device::swiglu_gradient<T, n.value><<<blocks_for(count), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
            gate_up.const_data_ptr<T>(), dh.const_data_ptr<T>(), d.mutable_data_ptr<T>(), count,
            static_cast<int>(width));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return d;
}

}  // namespace sightloop::kernels::cuda
