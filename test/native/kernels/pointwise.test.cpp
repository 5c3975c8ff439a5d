#include <ATen/ATen.h>

#include "doctest/doctest.h"
#include "kernels/kernels.h"

namespace kernels = sightloop::kernels;

namespace {

// Gradient of sum(f(x) * weights), by autograd of `f` in float32 and in float64.
template <typename F>
void check_against_double(const at::Tensor& x, const F& f) {
  const auto single = x.detach().clone().requires_grad_(true), wide = x.to(at::kDouble).detach().requires_grad_(true);
  const auto y = f(single), exact = f(wide);
  DOCTEST_CHECK(at::allclose(y.to(at::kDouble), exact, 1e-5, 1e-5));
  const auto weights = at::randn(y.sizes());
  (y * weights).sum().backward();
  (exact * weights.to(at::kDouble)).sum().backward();
  DOCTEST_CHECK(at::allclose(single.grad().to(at::kDouble), wide.grad(), 1e-4, 1e-5));
}

}  // namespace

DOCTEST_TEST_CASE("rms_norm and its gradients agree with float64 at ragged widths") {
  for (const int64_t width : {1, 31, 128, 2047}) {
    DOCTEST_CAPTURE(width);
    const auto weight = at::randn({width}), x = at::randn({5, width});
    check_against_double(
        x, [&](const at::Tensor& input) { return kernels::rms_norm(input, weight.to(input.scalar_type()), 1e-6); });
    const auto learned = weight.clone().requires_grad_(true), exact = weight.to(at::kDouble).requires_grad_(true);
    kernels::rms_norm(x, learned, 1e-6).square().sum().backward();
    kernels::rms_norm_reference(x.to(at::kDouble), exact, 1e-6).square().sum().backward();
    DOCTEST_CHECK(at::allclose(learned.grad().to(at::kDouble), exact.grad(), 1e-4, 1e-4));
  }
  DOCTEST_CHECK_THROWS(kernels::rms_norm(at::randn({2, 3}), at::randn({4}), 1e-6));
}

DOCTEST_TEST_CASE("rotate agrees with its reference, forward and gradient, on a strided view too") {
  for (const int64_t width : {2, 6, 16, 64}) {
    DOCTEST_CAPTURE(width);
    const auto angles = at::randn({7, width / 2});
    const auto cos = angles.cos().contiguous(), sin = angles.sin().contiguous();
    const auto both = [&](const at::Tensor& x) {
      return x.scalar_type() == at::kFloat
                 ? kernels::rotate(x, cos, sin)
                 : kernels::rotate_reference(x, angles.to(at::kDouble).cos(), angles.to(at::kDouble).sin());
    };
    check_against_double(at::randn({7, 3, width}), both);
    const auto view = at::randn({7, 5, width}).narrow(1, 1, 3);
    DOCTEST_CHECK(at::allclose(kernels::rotate(view, cos, sin), kernels::rotate_reference(view, cos, sin), 1e-6, 1e-6));
  }
}

DOCTEST_TEST_CASE("swiglu agrees with float64") {
  check_against_double(at::randn({4, 22}), [](const at::Tensor& x) { return kernels::swiglu(x); });
}

DOCTEST_TEST_CASE("quick_gelu agrees with float64, and with x sigmoid(1.702 x)") {
  check_against_double(3 * at::randn({4, 33}), [](const at::Tensor& x) { return kernels::quick_gelu(x); });
  const auto x = at::randn({64}, at::kDouble);
  DOCTEST_CHECK(at::allclose(kernels::quick_gelu(x), x / (1 + (-1.702 * x).exp())));
}

DOCTEST_TEST_CASE("packed_linear agrees with float64 at ragged sizes; a row does not depend on the others") {
  for (const auto& [rows, inputs, outputs] :
       {std::tuple{1, 1, 1}, {64, 128, 96}, {29, 1500, 70}, {12, 33, 32}, {5, 2100, 31}}) {
    DOCTEST_CAPTURE(outputs);
    const auto x = at::randn({rows, inputs}), weight = at::randn({outputs, inputs}), bias = at::randn({outputs});
    const auto packed = kernels::pack_weight(weight);
    for (const auto& b : {bias, at::Tensor()}) {
      const auto exact = at::linear(x.to(at::kDouble), weight.to(at::kDouble), b.defined() ? b.to(at::kDouble) : b);
      const auto y = kernels::packed_linear(x, packed, b);
      DOCTEST_CHECK(at::allclose(y.to(at::kDouble), exact, 1e-4, 1e-4));
      const auto last = x.narrow(0, rows - 1, 1);
      DOCTEST_CHECK(at::equal(kernels::packed_linear(last, packed, b), y.narrow(0, rows - 1, 1)));
    }
  }
}

DOCTEST_TEST_CASE("linear and its gradients agree with float64, wide or tall, with and without bias") {
  for (const auto& [inputs, outputs] : {std::pair{24, 70}, {70, 24}}) {
    const auto weight = at::randn({outputs, inputs}), bias = at::randn({outputs});
    check_against_double(at::randn({19, inputs}), [&](const at::Tensor& x) {
      return kernels::linear(x, weight.to(x.scalar_type()), bias.to(x.scalar_type()));
    });
    check_against_double(weight, [&, x = at::randn({19, inputs})](const at::Tensor& w) {
      return kernels::linear(x.to(w.scalar_type()), w, {});
    });
    check_against_double(bias, [&, x = at::randn({19, inputs})](const at::Tensor& b) {
      return kernels::linear(x.to(b.scalar_type()), weight.to(b.scalar_type()), b);
    });
  }
}
