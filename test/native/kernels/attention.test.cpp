#include <ATen/ATen.h>

#include "doctest/doctest.h"
#include "kernels/kernels.h"

namespace kernels = sightloop::kernels;
namespace core = sightloop::core;

namespace {

// The oracle: every completion after a copy of its prompt's keys and values, in float64, with an explicit mask.
at::Tensor concatenated(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                        const core::Groups& groups) {
  const auto repeats = query.size(1) / key.size(1);
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    const auto scores = at::einsum("qnh,knh->nqk", {q, k.repeat_interleave(repeats, 1)}) / std::sqrt(q.size(2));
    const auto future = at::ones({q.size(0), k.size(0)}, at::kBool).triu(k.size(0) - q.size(0) + 1);
    return at::einsum("nqk,knh->qnh", {scores.masked_fill(future, -1e30).softmax(-1), v.repeat_interleave(repeats, 1)});
  };
  std::vector<at::Tensor> parts;
  for (const auto& group : groups) {
    const auto prompt = [&](const at::Tensor& x) { return x.narrow(0, group.begin, group.prompt_length); };
    parts.push_back(attend(prompt(query), prompt(key), prompt(value)));
    auto begin = group.begin + group.prompt_length;
    for (const auto length : group.completion_lengths) {
      const auto own = [&](const at::Tensor& x) { return x.narrow(0, begin, length); };
      parts.push_back(attend(own(query), at::cat({prompt(key), own(key)}), at::cat({prompt(value), own(value)})));
      begin += length;
    }
  }
  return at::cat(parts);
}

core::Groups groups_of(const std::vector<std::pair<int64_t, std::vector<int64_t>>>& shapes) {
  core::Groups groups;
  int64_t begin = 0;
  for (const auto& [prompt_length, lengths] : shapes) {
    groups.push_back({.begin = begin, .prompt_length = prompt_length, .completion_lengths = lengths});
    begin += prompt_length + groups.back().completion_tokens();
  }
  return groups;
}

}  // namespace

DOCTEST_TEST_CASE("attention of groups agrees with concatenated keys and values, output and gradients") {
  const std::vector<core::Groups> cases = {
      groups_of({{5, {3}}}),
      groups_of({{4, {1, 7, 3, 3}}, {9, {}}, {4, {2, 0, 2}}, {1, {1, 5}}}),
      groups_of({{130, {70, 1, 33}}, {17, {70}}}),
      groups_of({{6, {0}}}),
  };
  for (const auto& [heads, kv_heads, width] : {std::tuple{4, 4, 8}, {6, 2, 16}, {3, 1, 24}})
    for (size_t index = 0; index < cases.size(); ++index) {
      DOCTEST_CAPTURE(heads);
      DOCTEST_CAPTURE(index);
      const auto layout = kernels::shared_prompt_layout(cases[index]);
      const auto tokens = layout->tokens();
      const auto make = [&](int64_t count) { return at::randn({tokens, count, width}).requires_grad_(true); };
      const auto query = make(heads), key = make(kv_heads), value = make(kv_heads);
      const auto wide = [](const at::Tensor& x) { return x.detach().to(at::kDouble).requires_grad_(true); };
      const auto q = wide(query), k = wide(key), v = wide(value);

      const auto output = kernels::attention(query, key, value, layout);
      const auto exact = concatenated(q, k, v, cases[index]);
      DOCTEST_CHECK(at::allclose(output.to(at::kDouble), exact, 1e-4, 1e-5));
      const auto weights = at::randn(output.sizes());
      (output * weights).sum().backward();
      (exact * weights.to(at::kDouble)).sum().backward();
      DOCTEST_CHECK(at::allclose(query.grad().to(at::kDouble), q.grad(), 1e-4, 1e-5));
      DOCTEST_CHECK(at::allclose(key.grad().to(at::kDouble), k.grad(), 1e-4, 1e-5));
      DOCTEST_CHECK(at::allclose(value.grad().to(at::kDouble), v.grad(), 1e-4, 1e-5));
    }
}

DOCTEST_TEST_CASE("attention of segments: every segment alone, ragged or equal, causal or not") {
  const std::vector<std::vector<int64_t>> cases = {{0, 6}, {0, 4, 8, 12}, {0, 1, 9, 9, 12}};
  for (const bool causal : {false, true})
    for (const auto& boundaries : cases) {
      const auto query = at::randn({boundaries.back(), 4, 8}), key = at::randn({boundaries.back(), 2, 8}),
                 value = at::randn({boundaries.back(), 2, 8});
      const auto output = kernels::attention(query, key, value, kernels::segment_layout(boundaries, causal));
      for (size_t i = 0; i + 1 < boundaries.size(); ++i) {
        const auto length = boundaries[i + 1] - boundaries[i];
        if (length == 0) continue;
        const auto cut = [&](const at::Tensor& x) { return x.narrow(0, boundaries[i], length).contiguous(); };
        const std::vector<int64_t> own = {0, length};
        const auto alone = kernels::attention(cut(query), cut(key), cut(value), kernels::segment_layout(own, causal));
        DOCTEST_CHECK(at::allclose(cut(output), alone, 1e-5, 1e-6));
        const auto last = at::einsum("nh,tnh->nt", {cut(query)[length - 1], cut(key).repeat_interleave(2, 1)});
        const auto direct =
            at::einsum("nt,tnh->nh", {(last / std::sqrt(8.0)).softmax(-1), cut(value).repeat_interleave(2, 1)});
        DOCTEST_CHECK(at::allclose(alone[length - 1], direct, 1e-4, 1e-5));
      }
    }
  const auto short_by_one = kernels::segment_layout(std::vector<int64_t>{0, 2}, true);
  DOCTEST_CHECK_THROWS(
      kernels::attention(at::randn({3, 1, 4}), at::randn({3, 1, 4}), at::randn({3, 1, 4}), short_by_one));
}

DOCTEST_TEST_CASE("paged_attention agrees with its reference, slots that share a prompt or not; idle slots give 0") {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto& [block_size, heads, kv_heads, width] :
         {std::tuple<int64_t, int64_t, int64_t, int64_t>{1, 6, 2, 12},
          {4, 2, 2, 16},
          {16, 14, 2, 64},
          {16, 8, 1, 80},
          {37, 3, 3, 8}}) {
      DOCTEST_CAPTURE(block_size);
      DOCTEST_CAPTURE(width);
      const auto key_cache = at::randn({200, kv_heads, width, block_size}).to(dtype),
                 value_cache = at::randn({200, kv_heads, block_size, width}).to(dtype);
      const auto query = at::randn({14, heads, width});
      auto table = at::randperm(200).slice(0, 0, 14 * 14).view({14, 14}).to(at::kInt);
      table.slice(0, 4).slice(1, 0, 8).copy_(table[13].slice(0, 0, 8).expand({10, 8}));  // slots 4 to 13: one prompt
      const auto prompt_lengths = at::tensor({3, 4, 1, 0, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}, at::kInt),
                 completion_lengths = at::tensor({5, 1, 2, 0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4}, at::kInt);
      const auto output =
          kernels::paged_attention(query, key_cache, value_cache, table, prompt_lengths, completion_lengths);
      const auto expected =
          kernels::paged_attention_reference(query.to(at::kDouble), key_cache.to(at::kDouble),
                                             value_cache.to(at::kDouble), table, prompt_lengths, completion_lengths);
      DOCTEST_CHECK(at::allclose(output.to(at::kDouble), expected, 1e-5, 1e-5));
      DOCTEST_CHECK(output[3].abs().max().item<float>() == 0);
      // A slot's result does not depend on which others are there, bit for bit.
      for (const int64_t slot : {0, 2, 5, 12}) {
        const auto alone = [slot](const at::Tensor& x) { return x.narrow(0, slot, 1).contiguous(); };
        DOCTEST_CHECK(at::equal(kernels::paged_attention(alone(query), key_cache, value_cache, alone(table),
                                                         alone(prompt_lengths), alone(completion_lengths)),
                                alone(output)));
      }
    }
}

DOCTEST_TEST_CASE("store_paged puts every row where paged_attention finds it") {
  auto key_cache = at::zeros({3, 2, 5, 4}), value_cache = at::zeros({3, 2, 4, 5});
  const auto key = at::randn({4, 2, 5}), value = at::randn({4, 2, 5});
  kernels::store_paged(key_cache, value_cache, at::tensor({2, 11, 7}, at::kLong), key,
                       value);  // the fourth row is idle
  for (const auto& [row, place] : {std::pair{0, 2}, {1, 11}, {2, 7}}) {
    DOCTEST_CHECK(at::equal(key_cache[place / 4].select(2, place % 4), key[row]));
    DOCTEST_CHECK(at::equal(value_cache[place / 4].select(1, place % 4), value[row]));
  }
  DOCTEST_CHECK(key_cache.ne(0).sum().item<int64_t>() == 30);
}
