#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"
#include "kernels/paged.h"

namespace sightloop::kernels {

at::Tensor paged_attention_reference(const at::Tensor& query, const at::Tensor& key_cache,
                                     const at::Tensor& value_cache, const at::Tensor& block_table,
                                     const at::Tensor& prompt_lengths, const at::Tensor& completion_lengths) {
  auto output = at::zeros_like(query);
  const auto block_size = key_cache.size(3), repeats = query.size(1) / key_cache.size(1);
  for (int64_t slot = 0; slot < query.size(0); ++slot) {
    const auto prompt = prompt_lengths[slot].item<int64_t>(), own = completion_lengths[slot].item<int64_t>();
    if (prompt + own == 0) continue;
    const auto prompt_blocks = blocks_of(prompt, block_size);
    const auto dense = [&](const at::Tensor& cache) {  // cache [blocks, B, K, H]   returns [prompt + own, N, H]
      const auto part = [&](int64_t first, int64_t length) {
        const auto blocks = block_table[slot].narrow(0, first, blocks_of(length, block_size)).to(at::kLong);
        return cache.index_select(0, blocks).flatten(0, 1).narrow(0, 0, length);
      };
      return at::cat({part(0, prompt), part(prompt_blocks, own)}).repeat_interleave(repeats, 1);
    };
    const auto scores =
        at::einsum("nh,tnh->nt", {query[slot], dense(key_cache.permute({0, 3, 1, 2}))}) / std::sqrt(query.size(2));
    output[slot] = at::einsum("nt,tnh->nh", {scores.softmax(-1), dense(value_cache.permute({0, 2, 1, 3}))});
  }
  return output;
}

namespace {

void store_reference(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                     const at::Tensor& value) {
  const auto stored = rows.ge(0).nonzero().flatten();
  const auto places = rows.index_select(0, stored);
  const auto block_size = key_cache.size(3);
  const auto blocks = places.div(block_size, "floor"), positions = places.remainder(block_size);
  const auto put = [&](const at::Tensor& cache, const at::Tensor& values) {  // cache [blocks, B, K, H], a view
    cache.index_put_({blocks, positions}, values.index_select(0, stored));
  };
  put(key_cache.permute({0, 3, 1, 2}), key);
  put(value_cache.permute({0, 2, 1, 3}), value);
}

template <typename T>
void store_rows(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                const at::Tensor& value) {
  const auto kv_heads = key_cache.size(1), width = key_cache.size(2), block_size = key_cache.size(3);
  auto *keys = key_cache.data_ptr<T>(), *values = value_cache.data_ptr<T>();
  const auto* places = rows.data_ptr<int64_t>();
  at::parallel_for(0, rows.size(0), 64, [&](int64_t begin, int64_t end) {
    for (auto row = begin; row < end; ++row) {
      const auto block = places[row] / block_size, position = places[row] % block_size;
      for (int64_t head = 0; head < kv_heads; ++head) {
        const auto shift = (block * kv_heads + head) * width * block_size;
        const auto* k = key.data_ptr<T>() + row * key.stride(0) + head * key.stride(1);
        const auto* v = value.data_ptr<T>() + row * value.stride(0) + head * value.stride(1);
        for (int64_t h = 0; h < width; ++h) keys[shift + h * block_size + position] = k[h];
        std::copy_n(v, width, values + shift + position * width);
      }
    }
  });
}

}  // namespace

void store_paged(at::Tensor& key_cache, at::Tensor& value_cache, const at::Tensor& rows, const at::Tensor& key,
                 const at::Tensor& value) {
  core::check_shape(key, {-1, key_cache.size(1), key_cache.size(2)}, "store_paged.key");
  core::check_shape(value, key.sizes(), "store_paged.value");
  TORCH_INTERNAL_ASSERT(rows.size(0) <= key.size(0) && key.stride(2) == 1 && value.stride(2) == 1);
  if (key_cache.is_cuda()) return cuda::store_paged(key_cache, value_cache, rows, key, value);
  if (!key_cache.is_cpu()) return store_reference(key_cache, value_cache, rows, key, value);
  if (key_cache.scalar_type() == at::kBFloat16)
    store_rows<c10::BFloat16>(key_cache, value_cache, rows, key, value);
  else
    store_rows<float>(key_cache, value_cache, rows, key, value);
}

}  // namespace sightloop::kernels
