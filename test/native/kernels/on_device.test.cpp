#include <ATen/ATen.h>

#include "core/attention_context.h"
#include "core/device.h"
#include "core/random.h"
#include "doctest/doctest.h"
#include "kernels/head_rows.h"
#include "kernels/kernels.h"
#include "kernels/shared_prompt.h"

// Ops on an NVIDIA device against the same ops on the host in float64 or float32. Without one there is only that to check.
namespace kernels = sightloop::kernels;
namespace core = sightloop::core;

namespace {

bool has_device() {
  const auto devices = core::cuda_devices();
  DOCTEST_CHECK(devices >= 0);
  return devices > 0;
}

at::Tensor values(at::IntArrayRef shape, at::ScalarType dtype) { return at::randn(shape, at::kFloat).to(dtype); }
at::Tensor there(const at::Tensor& x) { return x.to(at::Device("cuda:0")); }

void check_close(const at::Tensor& found, const at::Tensor& expected, at::ScalarType dtype, const char* what) {
  DOCTEST_CAPTURE(what);
  DOCTEST_REQUIRE(found.sizes() == expected.sizes());
  const auto difference = (found.cpu().to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  const auto scale = std::max(1.0, expected.to(at::kDouble).abs().max().item<double>());
  DOCTEST_CHECK(difference <= (dtype == at::kFloat ? 1e-5 : 2e-2) * scale);
}

const at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16};

}  // namespace

DOCTEST_TEST_CASE("on an NVIDIA device: norms, rotary and swiglu with their gradients") {
  if (!has_device()) return;
  at::manual_seed(1);
  for (const auto dtype : kTypes) {
    const auto check = [&](const char* what, const std::vector<at::Tensor>& inputs, const auto& op) {
      std::vector<at::Tensor> wide, narrow;
      for (const auto& input : inputs) {
        wide.push_back(input.to(at::kFloat).detach().requires_grad_(true));
        narrow.push_back(there(input).detach().requires_grad_(true));
      }
      const auto expected = op(wide), found = op(narrow);
      check_close(found.detach(), expected.detach(), dtype, what);
      const auto dy = values(expected.sizes(), dtype);
      expected.backward(dy.to(at::kFloat));
      found.backward(there(dy));
      for (size_t i = 0; i < inputs.size(); ++i) check_close(narrow[i].grad(), wide[i].grad(), dtype, what);
    };
    check("rms_norm", {values({37, 1280}, dtype), values({1280}, dtype)},
          [](const auto& x) { return kernels::rms_norm(x[0], x[1], 1e-6); });
    check("swiglu", {values({37, 2 * 684}, dtype)}, [](const auto& x) { return kernels::swiglu(x[0]); });
    const auto angles = at::randn({37, 40});
    check("rotate", {values({37, 4, 80}, dtype)}, [&](const auto& x) {
      const auto cos = angles.cos().to(x[0].device()), sin = angles.sin().to(x[0].device());
      return kernels::rotate(x[0], cos, sin);
    });
  }
}

DOCTEST_TEST_CASE("on an NVIDIA device: attention of groups, forward and backward") {
  if (!has_device()) return;
  at::manual_seed(2);
  core::Groups groups;
  groups.push_back({.begin = 0, .prompt_length = 33, .completion_lengths = {5, 0, 17}});
  groups.push_back({.begin = 55, .prompt_length = 9, .completion_lengths = {1, 2}});
  groups.push_back({.begin = 67, .prompt_length = 40, .completion_lengths = {}});
  for (const auto dtype : kTypes) {
    const auto q = values({107, 8, 80}, dtype), k = values({107, 2, 80}, dtype), v = values({107, 2, 80}, dtype);
    const auto dy = values({107, 8, 80}, dtype);
    const auto run = [&](const auto& move) {
      std::vector<at::Tensor> inputs;
      for (const auto& x : {q, k, v}) inputs.push_back(move(x).detach().requires_grad_(true));
      const auto y = kernels::attention(inputs[0], inputs[1], inputs[2], kernels::shared_prompt_layout(groups));
      y.backward(move(dy));
      return std::vector<at::Tensor>{y.detach(), inputs[0].grad(), inputs[1].grad(), inputs[2].grad()};
    };
    const auto expected = run([](const at::Tensor& x) { return x.to(at::kFloat); }), found = run(there);
    const char* names[] = {"output", "query", "key", "value"};
    for (size_t i = 0; i < 4; ++i) check_close(found[i], expected[i], dtype, names[i]);
  }
}

DOCTEST_TEST_CASE("on an NVIDIA device: the paged cache") {
  if (!has_device()) return;
  at::manual_seed(3);
  for (const auto dtype : kTypes) {
    const auto cache = [&](at::IntArrayRef shape) { return at::zeros(shape, dtype); };
    auto keys = cache({40, 2, 64, 16}), cached_values = cache({40, 2, 16, 64});
    auto device_keys = there(keys), device_values = there(cached_values);
    const auto rows = at::randperm(640, at::kLong);
    const auto key = values({640, 2, 64}, dtype), value = values({640, 2, 64}, dtype);
    kernels::store_paged(keys, cached_values, rows, key, value);
    kernels::store_paged(device_keys, device_values, there(rows), there(key), there(value));
    DOCTEST_CHECK(at::equal(device_keys.cpu(), keys));
    DOCTEST_CHECK(at::equal(device_values.cpu(), cached_values));
    const auto table = at::randperm(40, at::kLong).to(at::kInt).view({2, 20});
    const auto prompts = at::tensor({37, 0}, at::kInt), completions = at::tensor({9, 300}, at::kInt);
    const auto query = values({2, 8, 64}, dtype);
    check_close(kernels::paged_attention(there(query), device_keys, device_values, there(table), there(prompts),
                                         there(completions)),
                kernels::paged_attention(query, keys, cached_values, table, prompts, completions), dtype, "decode");
  }
}

DOCTEST_TEST_CASE("on an NVIDIA device: log-probs and entropy of the LM head, and their gradients") {
  if (!has_device()) return;
  at::manual_seed(4);
  for (const auto dtype : kTypes) {
    const auto hidden = values({50, 128}, dtype), weight = values({3001, 128}, dtype) * 0.1;
    const auto targets = at::randint(3001, {50}, at::kLong);
    const auto run = [&](const auto& move) {
      const auto x = move(hidden).detach().requires_grad_(true), w = move(weight).detach().requires_grad_(true);
      const auto head = kernels::lm_head_logprobs(x, w, targets, 0.8);
      (head.logprobs.sum() + 0.1 * head.entropy.sum()).backward();
      return std::vector<at::Tensor>{head.logprobs.detach(), head.entropy.detach(), x.grad(), w.grad()};
    };
    const auto expected = run([](const at::Tensor& x) { return x.to(at::kFloat); }), found = run(there);
    const char* names[] = {"logprobs", "entropy", "hidden", "weight"};
    for (size_t i = 0; i < 4; ++i) check_close(found[i], expected[i], dtype, names[i]);
  }
}
