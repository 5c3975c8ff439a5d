#include <ATen/ATen.h>

#include "doctest/doctest.h"
#include "kernels/kernels.h"
#include "kernels/low_rank.h"
#include "modules/modules.h"

namespace kernels = sightloop::kernels;

namespace {

// Ranges [0, 5) and [7, 10) of 12 outputs, rank 3.
kernels::LowRank two_ranges(at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype);
  return {.down = at::randn({6, 8}, options),
          .up = at::randn({8, 3}, options),
          .outputs = {{.begin = 0, .rows = 5}, {.begin = 7, .rows = 3}},
          .scale = 0.7};
}

// The weight that the addition makes, as autograd sees it.
at::Tensor dense(const at::Tensor& weight, const kernels::LowRank& low_rank) {
  const auto first = at::mm(low_rank.up.slice(0, 0, 5), low_rank.down.slice(0, 0, 3)),
             second = at::mm(low_rank.up.slice(0, 5, 8), low_rank.down.slice(0, 3, 6));
  const auto none = [&](int64_t rows) { return at::zeros({rows, 8}, weight.options()); };
  return weight + low_rank.scale * at::cat({first, none(2), second, none(2)});
}

}  // namespace

DOCTEST_TEST_CASE("low_rank_linear agrees with autograd on the dense weight, values and gradients") {
  for (const bool with_bias : {false, true}) {
    DOCTEST_CAPTURE(with_bias);
    for (const int64_t rows : {1, 9}) {
      const auto low_rank = two_ranges(at::kDouble);
      low_rank.down.requires_grad_(true);
      low_rank.up.requires_grad_(true);
      const auto weight = at::randn({12, 8}, at::kDouble),
                 bias = with_bias ? at::randn({12}, at::kDouble) : at::Tensor();
      const auto x = at::randn({rows, 8}, at::kDouble).requires_grad_(true), dy = at::randn({rows, 12}, at::kDouble);

      const auto expected = at::linear(x, dense(weight, low_rank), bias);
      expected.backward(dy);
      std::vector<at::Tensor> gradients;
      for (const auto& tensor : {x, low_rank.down, low_rank.up}) {
        gradients.push_back(tensor.grad().clone());
        tensor.mutable_grad() = at::Tensor();
      }
      const auto actual = kernels::low_rank_linear(x, weight, bias, low_rank);
      DOCTEST_CHECK(at::allclose(actual, expected, 1e-12, 1e-12));
      actual.backward(dy);
      DOCTEST_CHECK(at::allclose(x.grad(), gradients[0], 1e-12, 1e-12));
      DOCTEST_CHECK(at::allclose(low_rank.down.grad(), gradients[1], 1e-12, 1e-12));
      DOCTEST_CHECK(at::allclose(low_rank.up.grad(), gradients[2], 1e-12, 1e-12));

      const at::NoGradGuard no_grad;
      DOCTEST_CHECK(at::equal(kernels::low_rank_linear(x, weight, bias, low_rank), actual));
    }
  }
}

DOCTEST_TEST_CASE("halves train where the input needs no gradient, in float32 beside a bfloat16 weight") {
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 3e-2}}) {
    const auto low_rank = two_ranges(at::kFloat);
    low_rank.down.requires_grad_(true);
    low_rank.up.requires_grad_(true);
    const auto weight = at::randn({12, 8}).to(dtype), x = at::randn({40, 8}).to(dtype),
               dy = at::randn({40, 12}).to(dtype);
    const auto y = kernels::low_rank_linear(x, weight, {}, low_rank);
    DOCTEST_CHECK((y.scalar_type() == dtype));
    y.backward(dy);
    const auto down = low_rank.down.grad().to(at::kDouble), up = low_rank.up.grad().to(at::kDouble);
    DOCTEST_CHECK((low_rank.down.grad().scalar_type() == at::kFloat));
    low_rank.down.mutable_grad() = at::Tensor();
    low_rank.up.mutable_grad() = at::Tensor();
    at::linear(x.to(at::kFloat), dense(weight.to(at::kFloat), low_rank)).backward(dy.to(at::kFloat));
    const auto close = [&, tolerance = tolerance](const at::Tensor& a, const at::Tensor& b) {
      return (a - b).abs().max().item<double>() < tolerance * b.abs().max().item<double>();
    };
    DOCTEST_CHECK(close(down, low_rank.down.grad().to(at::kDouble)));
    DOCTEST_CHECK(close(up, low_rank.up.grad().to(at::kDouble)));
  }
}

DOCTEST_TEST_CASE("a linear's packed weight holds the addition; the weight itself stays as it was") {
  sightloop::modules::Linear linear;
  linear.weight = at::randn({12, 8});
  linear.bias = at::randn({12});
  linear.low_rank = std::make_shared<kernels::LowRank>(two_ranges(at::kFloat));
  const auto weight = linear.weight.clone(), x = at::randn({5, 8});
  const auto expected = at::linear(x, dense(weight, *linear.low_rank), linear.bias);
  linear.pack();
  DOCTEST_CHECK(linear.packed.panels.defined());
  const at::NoGradGuard no_grad;
  DOCTEST_CHECK(at::allclose(linear(x, /*sampling=*/true), expected, 1e-5, 1e-5));
  DOCTEST_CHECK(at::allclose(linear(x, /*sampling=*/false), expected, 1e-5, 1e-5));
  DOCTEST_CHECK(at::equal(linear.weight, weight));
  DOCTEST_CHECK(at::allclose(kernels::merged_weight(weight, *linear.low_rank), dense(weight, *linear.low_rank)));
  linear.low_rank->up.add_(1);  // an update, after which the packed copy is made anew
  linear.unpack();
  linear.pack();
  const auto changed = at::linear(x, dense(weight, *linear.low_rank), linear.bias);
  DOCTEST_CHECK(at::allclose(linear(x, /*sampling=*/true), changed, 1e-5, 1e-5));
  DOCTEST_CHECK(!at::allclose(changed, expected, 1e-3, 1e-3));
}
