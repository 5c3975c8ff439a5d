#include "kernels/launch.cuh"
#include "kernels/merge_attention.cuh"

namespace sightloop::kernels::cuda {

std::tuple<at::Tensor, at::Tensor> merge_attention(const at::Tensor& out_a, const at::Tensor& lse_a,
                                                   const at::Tensor& out_b, const at::Tensor& lse_b) {
  check_like(out_a, {-1, -1, -1}, out_a.scalar_type(), "merge_attention.out_a");
  check_like(out_b, out_a.sizes(), out_a.scalar_type(), "merge_attention.out_b");
  const auto rows = out_a.size(0), heads = out_a.size(1), width = out_a.size(2);
  const auto log_sums = [&](const at::Tensor& lse, const char* name) {
    core::check_shape(lse, {rows, heads}, name);
    TORCH_INTERNAL_ASSERT(lse.is_cuda() && lse.scalar_type() == at::kFloat, name, ": expected float32 on CUDA");
    return device::LogSums{
        .values = lse.const_data_ptr<float>(), .row_stride = lse.stride(0), .head_stride = lse.stride(1)};
  };
  const auto a = log_sums(lse_a, "merge_attention.lse_a"), b = log_sums(lse_b, "merge_attention.lse_b");
  auto out = at::empty_like(out_a), log_sum = at::empty({rows, heads}, lse_a.options());
  if (out.numel() == 0) return {out, log_sum};
  const c10::cuda::CUDAGuard guard(out_a.device());
  const bool dense = aligned({out_a, out_b, out});
  with_vector(
      out_a, "merge_attention", [&](int n) { return dense && width % n == 0; },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        const auto count = out.numel() / n.value;
        device::merge_parts<T, n.value><<<blocks_for(count), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
            out_a.const_data_ptr<T>(), a, out_b.const_data_ptr<T>(), b, out.mutable_data_ptr<T>(),
            log_sum.mutable_data_ptr<float>(), count, static_cast<int>(heads), static_cast<int>(width));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {out, log_sum};
}

}  // namespace sightloop::kernels::cuda
