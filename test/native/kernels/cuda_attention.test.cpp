#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "doctest/doctest.h"
#include "emulation/cuda.h"
#include "kernels/cuda_help.h"

#include "kernels/kernels.h"
#include "kernels/paged_attention_kernels.cuh"
#include "kernels/store_paged.cuh"

namespace kernels = sightloop::kernels;
namespace device = sightloop::kernels::device;
using sightloop::testing::close, sightloop::testing::data, sightloop::testing::emulate, sightloop::testing::Kind;

namespace {

struct Slot {
  int prompt, completion;
};

// A cache that holds the slots' positions in scattered blocks; every position that is not held is NaN.
struct Cache {
  at::Tensor keys, values, table, prompt_lengths, completion_lengths;
};
Cache make_cache(const std::vector<Slot>& slots, int kv_heads, int width, int block_size, at::ScalarType dtype) {
  int64_t blocks = 1, most = 1;
  const auto blocks_of = [&](int positions) { return (positions + block_size - 1) / block_size; };
  for (const auto& [prompt, completion] : slots) {
    const int64_t own = blocks_of(prompt) + blocks_of(completion);
    blocks += own, most = std::max(most, own);
  }
  Cache cache{.keys = at::full({blocks, kv_heads, width, block_size}, NAN),
              .values = at::full({blocks, kv_heads, block_size, width}, NAN),
              .table = at::full({static_cast<int64_t>(slots.size()), most}, -1, at::kInt),
              .prompt_lengths = at::empty({static_cast<int64_t>(slots.size())}, at::kInt),
              .completion_lengths = at::empty({static_cast<int64_t>(slots.size())}, at::kInt)};
  const auto order = at::randperm(blocks, at::kInt);
  int64_t taken = 0;
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    const auto row = static_cast<int64_t>(slot);
    data<int32_t>(cache.prompt_lengths)[slot] = slots[slot].prompt;
    data<int32_t>(cache.completion_lengths)[slot] = slots[slot].completion;
    int64_t place = 0;
    for (const int length : {slots[slot].prompt, slots[slot].completion})
      for (int left = length; left > 0; left -= block_size) {
        const auto block = order[taken++].item<int64_t>();
        cache.table[row][place++] = block;
        const auto held = std::min(left, block_size);
        cache.keys[block].narrow(2, 0, held).copy_(at::randn({kv_heads, width, held}));
        cache.values[block].narrow(1, 0, held).copy_(at::randn({kv_heads, held, width}));
      }
  }
  cache.keys = cache.keys.to(dtype), cache.values = cache.values.to(dtype);
  return cache;
}

template <typename T, int R, int B>
at::Tensor attend(const at::Tensor& query, const Cache& cache, int split_blocks) {
  const auto slots = query.size(0), heads = query.size(1), width = query.size(2), kv_heads = cache.keys.size(1);
  const auto splits = (cache.table.size(1) + split_blocks - 1) / split_blocks;
  const auto output = at::full_like(query, NAN), partial = at::full({slots, heads, splits, width}, NAN),
             log_sums = at::full({slots, heads, splits}, NAN);
  const device::PagedAttention<T> arguments{
      .query = data<T>(query),
      .keys = data<T>(cache.keys),
      .values = data<T>(cache.values),
      .table = data<int32_t>(cache.table),
      .prompt_lengths = data<int32_t>(cache.prompt_lengths),
      .completion_lengths = data<int32_t>(cache.completion_lengths),
      .output = data<T>(output),
      .partial = data<float>(partial),
      .log_sums = data<float>(log_sums),
      .table_width = static_cast<int>(cache.table.size(1)),
      .split_blocks = split_blocks,
      .splits = static_cast<int>(splits),
      .heads = static_cast<int>(heads),
      .kv_heads = static_cast<int>(kv_heads),
      .width = static_cast<int>(width),
      .scale = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(width)))};
  const auto sets = (heads / kv_heads + R - 1) / R;
  const dim3 grid{static_cast<unsigned>(slots), static_cast<unsigned>(kv_heads * sets), static_cast<unsigned>(splits)};
  emulate(grid, {.x = 32 * device::kAttentionWarps}, device::paged_attention_shared<T, R, B>(static_cast<int>(width)),
          device::paged_attention_splits<T, R, B>, arguments);
  emulate({.x = grid.x, .y = static_cast<unsigned>(heads)}, {.x = 64}, 0, device::paged_attention_join<T, B>,
          arguments);
  return output;
}

template <typename T, int R, int B>
void check(int repeats, int kv_heads, int width, int split_blocks, const std::vector<Slot>& slots) {
  DOCTEST_CAPTURE(repeats);
  DOCTEST_CAPTURE(width);
  DOCTEST_CAPTURE(split_blocks);
  const auto cache = make_cache(slots, kv_heads, width, B, Kind<T>::dtype);
  const auto query =
      (2 * at::randn({static_cast<int64_t>(slots.size()), kv_heads * repeats, width})).to(Kind<T>::dtype);
  const auto output = attend<T, R, B>(query, cache, split_blocks);
  const auto exact = kernels::paged_attention_reference(query.to(at::kDouble), cache.keys.to(at::kDouble),
                                                        cache.values.to(at::kDouble), cache.table, cache.prompt_lengths,
                                                        cache.completion_lengths);
  DOCTEST_CHECK(close(output, exact, Kind<T>::tolerance));
}

// An idle slot, no prompt, no completion, ends inside blocks and on their borders, and several splits.
std::vector<Slot> many(int block_size) {
  const int b = block_size;
  return {{3, 1}, {0, 0}, {0, b + 5}, {2 * b, 0}, {b, b}, {5 * b + 1, 3 * b - 1}, {1, 0}, {0, 1}};
}

}  // namespace

DOCTEST_TEST_CASE("cuda paged_attention agrees with float64 for heads of any width and number, idle slots and splits") {
  using Half = c10::BFloat16;
  check<float, 1, 16>(1, 2, 64, 2, many(16));
  check<float, 2, 16>(2, 2, 80, 3, many(16));
  check<float, 4, 16>(3, 1, 24, 16, many(16));
  check<float, 8, 16>(7, 1, 128, 4, many(16));
  check<float, 8, 32>(8, 1, 64, 1, many(32));
  check<float, 8, 64>(12, 1, 16, 2, many(64));
  check<Half, 1, 16>(1, 2, 64, 16, many(16));
  check<Half, 2, 16>(2, 1, 128, 3, many(16));
  check<Half, 4, 16>(4, 2, 80, 2, many(16));
  check<Half, 8, 16>(7, 1, 128, 4, many(16));
  check<Half, 8, 16>(8, 2, 24, 1, many(16));
  check<Half, 8, 32>(12, 1, 80, 2, many(32));
  check<Half, 4, 64>(4, 1, 256, 1, many(64));
  check<Half, 8, 16>(8, 1, 128, 16, {{700, 200}, {1, 511}});
}

DOCTEST_TEST_CASE("cuda paged_attention gives a slot the same bits in any company") {
  const auto cache = make_cache(many(16), 2, 64, 16, at::kFloat);
  const auto query = at::randn({8, 6, 64});
  const auto together = attend<float, 4, 16>(query, cache, 2);
  for (const auto& [slot, blocks] : {std::pair<int64_t, int64_t>{0, 2}, {4, 2}, {5, 9}}) {
    const auto one = [at = slot](const at::Tensor& x) { return x.narrow(0, at, 1).contiguous(); };
    const Cache own{.keys = cache.keys,
                    .values = cache.values,
                    .table = one(cache.table.narrow(1, 0, blocks)),
                    .prompt_lengths = one(cache.prompt_lengths),
                    .completion_lengths = one(cache.completion_lengths)};
    DOCTEST_CHECK(at::equal(attend<float, 4, 16>(one(query), own, 2), one(together)));
  }
}

DOCTEST_TEST_CASE("cuda store_paged puts rows where the CPU does, from strided tensors, and leaves out negative rows") {
  const auto check_store = [](auto kind) {
    using T = typename decltype(kind)::Scalar;
    const int kv_heads = 2, width = 24, block_size = 16;
    const auto rows = at::tensor({5, 37, -1, 16, 79, -3, 0}, at::kLong),
               stored = at::tensor({0, 1, 3, 4, 6}, at::kLong);
    const auto all = at::randn({9, 3 * kv_heads, width}).to(kind.dtype);
    const auto key = all.narrow(1, 1, kv_heads), value = all.narrow(1, 1 + kv_heads, kv_heads);
    const auto keys = at::zeros({5, kv_heads, width, block_size}, kind.dtype),
               values = at::zeros({5, kv_heads, block_size, width}, kind.dtype);
    const int64_t count = rows.size(0) * kv_heads * width;
    const auto heads_of = [](const at::Tensor& x) {
      return device::HeadRows<T>{.values = data<T>(x), .row_stride = x.stride(0), .head_stride = x.stride(1)};
    };
    emulate({.x = static_cast<unsigned>(count / 64 + 1)}, {.x = 64}, 0, device::store_paged_elements<T>, data<T>(keys),
            data<T>(values), data<int64_t>(rows), heads_of(key), heads_of(value), count, kv_heads, width, block_size);
    auto exact_keys = at::zeros_like(keys), exact_values = at::zeros_like(values);
    kernels::store_paged(exact_keys, exact_values, rows.index_select(0, stored), key.index_select(0, stored),
                         value.index_select(0, stored));
    DOCTEST_CHECK(at::equal(keys, exact_keys));
    DOCTEST_CHECK(at::equal(values, exact_values));
  };
  check_store(Kind<float>());
  check_store(Kind<c10::BFloat16>());
}
