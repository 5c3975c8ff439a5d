#include <cmath>

#include "kernels/launch.cuh"
#include "kernels/paged_attention_kernels.cuh"

namespace sightloop::kernels::cuda {
namespace {

template <typename T, int R, int B>
void launch(const device::PagedAttention<T>& a, int64_t slots) {
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const int sets = (a.heads / a.kv_heads + R - 1) / R;
  const dim3 grid(static_cast<unsigned>(slots), static_cast<unsigned>(a.kv_heads * sets),
                  static_cast<unsigned>(a.splits));
  device::paged_attention_splits<T, R, B>
      <<<grid, 32 * device::kAttentionWarps, device::paged_attention_shared<T, R, B>(a.width), stream>>>(a);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  if (a.splits == 1) return;
  const dim3 heads(static_cast<unsigned>(slots), static_cast<unsigned>(a.heads));
  device::paged_attention_join<T, B><<<heads, 128, 0, stream>>>(a);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename T, int B>
void launch_repeats(const device::PagedAttention<T>& a, int64_t slots) {
  const int repeats = a.heads / a.kv_heads;
  if (repeats == 1)
    launch<T, 1, B>(a, slots);
  else if (repeats == 2)
    launch<T, 2, B>(a, slots);
  else if (repeats <= 4)
    launch<T, 4, B>(a, slots);
  else
    launch<T, 8, B>(a, slots);
}

}  // namespace

at::Tensor paged_attention(const at::Tensor& query, const at::Tensor& key_cache, const at::Tensor& value_cache,
                           const at::Tensor& block_table, const at::Tensor& prompt_lengths,
                           const at::Tensor& completion_lengths) {
  const auto dtype = key_cache.scalar_type();
  check_like(query, {-1, -1, -1}, dtype, "paged_attention.query");
  const auto slots = query.size(0), heads = query.size(1), width = query.size(2);
  check_like(key_cache, {-1, -1, width, -1}, dtype, "paged_attention.key_cache");
  const auto kv_heads = key_cache.size(1), block_size = key_cache.size(3);
  check_like(value_cache, {key_cache.size(0), kv_heads, block_size, width}, dtype, "paged_attention.value_cache");
  check_like(block_table, {slots, -1}, at::kInt, "paged_attention.block_table");
  check_like(prompt_lengths, {slots}, at::kInt, "paged_attention.prompt_lengths");
  check_like(completion_lengths, {slots}, at::kInt, "paged_attention.completion_lengths");
  const auto bytes = width * query.element_size();
  TORCH_CHECK(bytes % 16 == 0 && bytes <= 512, "paged_attention: heads of ", width, " elements of ", dtype,
              " are not supported on CUDA: they must be a multiple of 16 bytes, at most 512");
  TORCH_CHECK(block_size == 16 || block_size == 32 || block_size == 64,
              "paged_attention: kv_block_size must be 16, 32 or 64 on CUDA, got ", block_size);
  TORCH_INTERNAL_ASSERT(heads % kv_heads == 0 && aligned({query, key_cache, value_cache}));
  auto output = at::empty_like(query);
  if (output.numel() == 0) return output;
  if (block_table.size(1) == 0) return output.zero_();

  const c10::cuda::CUDAGuard guard(query.device());
  const auto split_blocks = device::kSplitPositions / block_size,
             splits = (block_table.size(1) + split_blocks - 1) / split_blocks;
  const auto of_splits = query.options().dtype(at::kFloat);
  const auto partial = at::empty({splits > 1 ? slots : 0, heads, splits, width}, of_splits),
             log_sums = at::empty({splits > 1 ? slots : 0, heads, splits}, of_splits);
  with_dtype(query, "paged_attention", [&](auto zero) {
    using T = decltype(zero);
    const device::PagedAttention<T> a{
        .query = query.const_data_ptr<T>(),
        .keys = key_cache.const_data_ptr<T>(),
        .values = value_cache.const_data_ptr<T>(),
        .table = block_table.const_data_ptr<int32_t>(),
        .prompt_lengths = prompt_lengths.const_data_ptr<int32_t>(),
        .completion_lengths = completion_lengths.const_data_ptr<int32_t>(),
        .output = output.mutable_data_ptr<T>(),
        .partial = partial.mutable_data_ptr<float>(),
        .log_sums = log_sums.mutable_data_ptr<float>(),
        .table_width = static_cast<int>(block_table.size(1)),
        .split_blocks = static_cast<int>(split_blocks),
        .splits = static_cast<int>(splits),
        .heads = static_cast<int>(heads),
        .kv_heads = static_cast<int>(kv_heads),
        .width = static_cast<int>(width),
        .scale = static_cast<float>(std::log2(std::exp(1.0)) / std::sqrt(static_cast<double>(width)))};
    if (block_size == 16)
      launch_repeats<T, 16>(a, slots);
    else if (block_size == 32)
      launch_repeats<T, 32>(a, slots);
    else
      launch_repeats<T, 64>(a, slots);
  });
  return output;
}

}  // namespace sightloop::kernels::cuda
