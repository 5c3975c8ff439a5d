#include "kernels/launch.cuh"
#include "kernels/store_paged.cuh"

namespace sightloop::kernels::cuda {

void store_paged(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                 const at::Tensor& value) {
  const auto dtype = key_cache.scalar_type();
  check_like(key_cache, {-1, -1, -1, -1}, dtype, "store_paged.key_cache");
  const auto kv_heads = key_cache.size(1), width = key_cache.size(2), block_size = key_cache.size(3);
  check_like(value_cache, {key_cache.size(0), kv_heads, block_size, width}, dtype, "store_paged.value_cache");
  check_like(rows, {-1}, at::kLong, "store_paged.rows");
  core::check_shape(key, {-1, kv_heads, width}, "store_paged.key");
  core::check_shape(value, key.sizes(), "store_paged.value");
  TORCH_INTERNAL_ASSERT(rows.size(0) <= key.size(0) && key.scalar_type() == dtype && value.scalar_type() == dtype &&
                        key.stride(2) == 1 && value.stride(2) == 1);
  const auto count = rows.size(0) * kv_heads * width;
  if (count == 0) return;
  const c10::cuda::CUDAGuard guard(key_cache.device());
  with_dtype(key_cache, "store_paged", [&](auto zero) {
    using T = decltype(zero);
    const auto heads_of = [](const at::Tensor& x) {
      return device::HeadRows<T>{
          .values = x.const_data_ptr<T>(), .row_stride = x.stride(0), .head_stride = x.stride(1)};
    };
    device::store_paged_elements<T><<<blocks_for(count), kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
        key_cache.mutable_data_ptr<T>(), value_cache.mutable_data_ptr<T>(), rows.const_data_ptr<int64_t>(),
        heads_of(key), heads_of(value), count, static_cast<int>(kv_heads), static_cast<int>(width),
        static_cast<int>(block_size));
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace sightloop::kernels::cuda
