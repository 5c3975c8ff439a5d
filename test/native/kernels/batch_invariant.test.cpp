// What `deterministic: batch_invariant` rests on (docs/determinism.md), op by op, bit for bit.
#include <ATen/ATen.h>

#include "doctest/doctest.h"
#include "kernels/kernels.h"

namespace kernels = sightloop::kernels;
namespace core = sightloop::core;

namespace {

constexpr auto kInvariant = kernels::Products::batch_invariant;

// Every row of f(x) alone, in parts and in another order is the row of f(x): x [T, ...] -> [T, ...].
template <typename F>
void check_rows(const at::Tensor& x, const F& f) {
  const auto whole = f(x);
  const auto rows = x.size(0);
  for (int64_t row = 0; row < rows; row += 1 + rows / 100)
    DOCTEST_REQUIRE(at::equal(f(x.narrow(0, row, 1).clone()), whole.narrow(0, row, 1)));
  const auto order = at::randperm(rows);
  DOCTEST_CHECK(at::equal(f(x.index_select(0, order)), whole.index_select(0, order)));
  const auto part = rows / 3;
  DOCTEST_CHECK(at::equal(f(x.narrow(0, part, rows - part)), whole.narrow(0, part, rows - part)));
}

// Equal rows at every distance from an aligned address give equal results.
template <typename F>
void check_alignment(const at::Tensor& row, const F& f) {
  const auto width = row.numel();
  const auto expected = f(row.view({1, width}).clone());
  for (int64_t shift = 0; shift < 17; ++shift) {
    const auto moved = at::empty({width + shift}).narrow(0, shift, width).copy_(row).view({1, width});
    DOCTEST_CHECK(at::equal(f(moved), expected));
  }
}

struct Cache {
  at::Tensor keys, values, table, prompt_lengths, completion_lengths;
};

// Group 0 of `groups`, `held` positions of each completion, in blocks handed out in random order.
Cache paged(const at::Tensor& key, const at::Tensor& value, const core::Group& group, int64_t held,
            int64_t block_size) {
  const auto blocks_of = [&](int64_t positions) { return (positions + block_size - 1) / block_size; };
  const auto slots = static_cast<int64_t>(group.completion_lengths.size());
  const auto own = blocks_of(held), prompt = blocks_of(group.prompt_length);
  const auto free = at::randperm(prompt + slots * own, at::kLong);
  const auto kv_heads = key.size(1), width = key.size(2);
  Cache cache{.keys = at::full({free.size(0), kv_heads, width, block_size}, NAN),
              .values = at::full({free.size(0), kv_heads, block_size, width}, NAN),
              .table = at::empty({slots, prompt + own}, at::kInt),
              .prompt_lengths = at::full({slots}, group.prompt_length, at::kInt),
              .completion_lengths = at::full({slots}, held, at::kInt)};
  const auto store = [&](const at::Tensor& blocks, int64_t begin, int64_t length) {
    const auto positions = at::arange(length);
    const auto rows = blocks.index_select(0, positions.div(block_size, "floor")) * block_size + positions % block_size;
    kernels::store_paged(cache.keys, cache.values, rows, key.narrow(0, begin, length), value.narrow(0, begin, length));
  };
  const auto shared = free.narrow(0, 0, prompt);
  store(shared, group.begin, group.prompt_length);
  auto begin = group.begin + group.prompt_length;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const auto blocks = free.narrow(0, prompt + slot * own, own);
    store(blocks, begin, held);
    cache.table[slot].copy_(at::cat({shared, blocks}));
    begin += group.completion_lengths[static_cast<size_t>(slot)];
  }
  return cache;
}

}  // namespace

DOCTEST_TEST_CASE(
    "batch_invariant: a row of a product is the same in any company, packed or not, with a graph or without") {
  for (const auto& [rows, inputs, outputs] :
       {std::tuple{1, 1, 1}, {37, 96, 288}, {130, 300, 70}, {25, 1100, 33}, {200, 17, 31}, {97, 257, 600}}) {
    DOCTEST_CAPTURE(inputs);
    DOCTEST_CAPTURE(outputs);
    const auto x = at::randn({rows, inputs}), weight = at::randn({outputs, inputs});
    for (const auto& bias : {at::randn({outputs}), at::Tensor()}) {
      const auto product = [&](const at::Tensor& part) { return kernels::product(part, weight, bias, kInvariant); };
      check_rows(x, product);
      const auto y = product(x);
      DOCTEST_CHECK(at::equal(kernels::packed_linear(x, kernels::pack_weight(weight), bias), y));
      const auto learned = weight.detach().clone().requires_grad_(true), input = x.clone().requires_grad_(true);
      const auto with_graph = kernels::linear(input, learned, bias, kInvariant);
      DOCTEST_CHECK(at::equal(with_graph, y));
      DOCTEST_CHECK(at::allclose(
          y.to(at::kDouble),
          at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.defined() ? bias.to(at::kDouble) : bias), 1e-4,
          1e-4));
      const auto dy = at::randn({rows, outputs});
      with_graph.backward(dy);
      DOCTEST_CHECK(at::allclose(learned.grad(), at::mm(dy.t(), x), 1e-4, 1e-3));
      DOCTEST_CHECK(at::allclose(input.grad(), at::mm(dy, weight), 1e-4, 1e-3));
    }
  }
  DOCTEST_CHECK_THROWS(kernels::product(at::randn({2, 3}), at::randn({4, 5}), {}, kInvariant));
}

DOCTEST_TEST_CASE(
    "batch_invariant: what stands between the products computes each row by itself, wherever it lies in memory") {
  // The last is enough for libtorch to cut it for several threads: its gelu and sigmoid would fail there.
  for (const auto& [rows, width] : {std::pair{41, 2}, {41, 10}, {41, 16}, {41, 34}, {41, 96}, {41, 130}, {3001, 34}}) {
    DOCTEST_CAPTURE(width);
    const auto x = 3 * at::randn({rows, width}), weight = at::randn({width}), bias = at::randn({width});
    const std::vector<std::function<at::Tensor(const at::Tensor&)>> ops = {
        [&](const at::Tensor& rows) { return kernels::rms_norm(rows, weight, 1e-6); },
        [&](const at::Tensor& rows) { return at::layer_norm(rows, {width}, weight, bias, 1e-6); },
        [](const at::Tensor& rows) { return kernels::swiglu(rows); },
        [](const at::Tensor& rows) { return kernels::quick_gelu(rows); },
        [](const at::Tensor& rows) { return kernels::gelu(rows); },
        [](const at::Tensor& rows) { return kernels::cos_sin(rows).cos; },
        [](const at::Tensor& rows) { return kernels::cos_sin(rows).sin; },
        [](const at::Tensor& rows) {  // rows: angles, then what is turned
          const auto half = rows.size(1) / 2;
          const auto [cos, sin] = kernels::cos_sin(rows);
          return kernels::rotate(rows.unsqueeze(1), cos.narrow(1, 0, half).contiguous(),
                                 sin.narrow(1, 0, half).contiguous());
        },
    };
    for (size_t op = 0; op < ops.size(); ++op) {
      DOCTEST_CAPTURE(op);
      check_rows(x, ops[op]);
      check_alignment(x[7], ops[op]);
    }
  }
}

DOCTEST_TEST_CASE("gelu agrees with float64, value and gradient") {
  const auto x = (3 * at::randn({4, 33})).requires_grad_(true), exact = x.detach().to(at::kDouble).requires_grad_(true);
  const auto y = kernels::gelu(x), wide = kernels::gelu(exact);
  DOCTEST_CHECK(at::allclose(y.to(at::kDouble), wide, 1e-5, 1e-6));
  y.square().sum().backward();
  wide.square().sum().backward();
  DOCTEST_CHECK(at::allclose(x.grad().to(at::kDouble), exact.grad(), 1e-4, 1e-5));
}

DOCTEST_TEST_CASE(
    "batch_invariant: attention of packed groups does not depend on neighbours, nor on who shares the prompt") {
  for (const auto& [heads, kv_heads, width] : {std::tuple{4, 4, 24}, {6, 2, 16}, {3, 1, 40}}) {
    const auto prompt = 53, length = 71;
    const auto make = [&](int64_t count) { return at::randn({prompt + 3 * length, count, width}); };
    const auto query = make(heads), key = make(kv_heads), value = make(kv_heads);
    const auto attend = [&](const at::Tensor& rows, const core::Groups& groups) {
      const auto of = [&](const at::Tensor& x) { return x.index_select(0, rows); };
      return kernels::attention(of(query), of(key), of(value), kernels::shared_prompt_layout(groups));
    };
    const auto rows_of = [&](int64_t completion) { return at::arange(length) + prompt + completion * length; };
    const auto shared = attend(at::arange(prompt + 3 * length),
                               {{.begin = 0, .prompt_length = prompt, .completion_lengths = {length, length, length}}});
    for (const int64_t completion : {0, 1, 2}) {
      const auto alone = at::cat({at::arange(prompt), rows_of(completion)});
      const core::Group group{.begin = 0, .prompt_length = prompt, .completion_lengths = {length}};
      DOCTEST_CHECK(at::equal(attend(alone, {group}), shared.index_select(0, alone)));
      // behind another group, and cut short
      auto second = group;
      second.begin = length;
      second.completion_lengths = {length - 7};
      const auto packed = at::cat({rows_of(0), alone.narrow(0, 0, alone.size(0) - 7)});
      const auto behind = attend(packed, {{.begin = 0, .prompt_length = length, .completion_lengths = {}}, second});
      DOCTEST_CHECK(at::equal(behind.slice(0, length), shared.index_select(0, alone).slice(0, 0, -7)));
    }
  }
}

DOCTEST_TEST_CASE("batch_invariant: attention over the paged cache is attention of packed groups, for any block size") {
  for (const auto& [heads, kv_heads, width] : {std::tuple{4, 4, 32}, {14, 2, 64}, {8, 1, 80}, {3, 3, 8}, {6, 2, 26}})
    for (const int64_t block_size : {1, 3, 16, 32, 37})
      for (const int64_t prompt : {5, 64, 83}) {
        DOCTEST_CAPTURE(width);
        DOCTEST_CAPTURE(block_size);
        DOCTEST_CAPTURE(prompt);
        const int64_t length = 40, slots = 11;
        core::Group group{.begin = 0, .prompt_length = prompt, .completion_lengths = {}};
        group.completion_lengths.assign(slots, length);
        const auto make = [&](int64_t count) { return at::randn({prompt + slots * length, count, width}); };
        const auto query = make(heads), key = make(kv_heads), value = make(kv_heads);
        const auto expected = kernels::attention(query, key, value, kernels::shared_prompt_layout({group}));
        for (const int64_t held : {1, 16, 29, 40}) {
          const auto cache = paged(key, value, group, held, block_size);
          const auto rows = prompt + at::arange(slots) * length + held - 1;
          const auto output = kernels::paged_attention(query.index_select(0, rows), cache.keys, cache.values,
                                                       cache.table, cache.prompt_lengths, cache.completion_lengths);
          DOCTEST_CHECK(at::equal(output, expected.index_select(0, rows)));
        }
      }
}

DOCTEST_TEST_CASE("batch_invariant: the sampler's log-prob is the LM head's") {
  std::vector<float> scratch;
  for (const int64_t vocabulary : {5, 356, 1031, 4100})
    for (const double temperature : {1.0, 0.6, 1.7}) {
      DOCTEST_CAPTURE(vocabulary);
      DOCTEST_CAPTURE(temperature);
      const auto hidden = at::randn({9, 24}), weight = at::randn({vocabulary, 24});
      const auto logits = kernels::head_logits(hidden, weight, kInvariant);
      auto targets = at::empty({9}, at::kLong), sampled = at::empty({9});
      for (int64_t row = 0; row < 9; ++row) {
        const auto drawn =
            kernels::sample({logits[row].data_ptr<float>(), static_cast<size_t>(vocabulary)},
                            {.temperature = temperature, .banned = {2}}, (static_cast<double>(row) + 0.5) / 9, scratch);
        targets[row] = drawn.token;
        sampled[row] = drawn.logprob;
      }
      DOCTEST_CHECK(
          at::equal(kernels::lm_head_logprobs(hidden, weight, targets, temperature, kInvariant).logprobs, sampled));
    }
}
