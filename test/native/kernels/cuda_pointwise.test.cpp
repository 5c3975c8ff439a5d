#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "doctest/doctest.h"
#include "emulation/cuda.h"
#include "kernels/cuda_help.h"

#include "kernels/kernels.h"
#include "kernels/merge_attention.cuh"
#include "kernels/rms_norm.cuh"
#include "kernels/rotate.cuh"
#include "kernels/swiglu.cuh"

namespace kernels = sightloop::kernels;
namespace device = sightloop::kernels::device;
using sightloop::testing::close, sightloop::testing::data, sightloop::testing::each_kind, sightloop::testing::emulate;

namespace {

unsigned blocks_for(int64_t count) { return static_cast<unsigned>((count + 63) / 64); }

}  // namespace

DOCTEST_TEST_CASE("cuda rms_norm, alone and after a sum, agrees with float64 for every dtype and ragged width") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    for (const auto& [rows, packs, threads] : {std::tuple{1, 1, 32}, {3, 31, 32}, {2, 300, 128}, {17, 5, 64}}) {
      const int width = packs * n;
      DOCTEST_CAPTURE(width);
      const auto x = at::randn({rows, width}).to(kind.dtype), residual = at::randn({rows, width}).to(kind.dtype),
                 weight = at::randn({width}).to(kind.dtype);
      auto y = at::empty_like(x), sum = at::empty_like(x), normed = at::empty_like(x);
      const auto inverse = at::empty({rows});
      emulate({.x = static_cast<unsigned>(rows)}, {.x = static_cast<unsigned>(threads)}, 128,
              device::rms_norm_rows<T, n>, data<T>(x), static_cast<T*>(nullptr), data<T>(weight),
              static_cast<T*>(nullptr), data<T>(y), data<float>(inverse), width, 1e-6F);
      const auto wide = x.to(at::kDouble), wide_weight = weight.to(at::kDouble);
      DOCTEST_CHECK(close(y, kernels::rms_norm_reference(wide, wide_weight, 1e-6), 2 * kind.tolerance));
      DOCTEST_CHECK(close(inverse, (wide.square().mean(-1) + 1e-6).rsqrt(), 1e-5));
      emulate({.x = static_cast<unsigned>(rows)}, {.x = static_cast<unsigned>(threads)}, 128,
              device::rms_norm_rows<T, n>, data<T>(x), data<T>(residual), data<T>(weight), data<T>(sum),
              data<T>(normed), static_cast<float*>(nullptr), width, 1e-6F);
      DOCTEST_CHECK(at::equal(sum, x + residual));
      DOCTEST_CHECK(
          close(normed, kernels::rms_norm_reference(sum.to(at::kDouble), wide_weight, 1e-6), 2 * kind.tolerance));
    }
  });
}

DOCTEST_TEST_CASE("cuda rms_norm's gradients agree with float64's, over one block of rows and several") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    for (const auto& [rows, packs, threads] : {std::tuple{1, 1, 32}, {16, 9, 32}, {53, 40, 64}, {200, 1, 32}}) {
      const int width = packs * n, parts = (rows + device::kNormRows - 1) / device::kNormRows;
      DOCTEST_CAPTURE(rows);
      DOCTEST_CAPTURE(width);
      const auto x = at::randn({rows, width}).to(kind.dtype), dy = at::randn({rows, width}).to(kind.dtype),
                 weight = at::randn({width}).to(kind.dtype);
      const auto wide = x.to(at::kDouble).requires_grad_(true),
                 wide_weight = weight.to(at::kDouble).requires_grad_(true);
      (kernels::rms_norm_reference(wide, wide_weight, 1e-6) * dy.to(at::kDouble)).sum().backward();
      const auto inverse = (wide.detach().square().mean(-1) + 1e-6).rsqrt().to(at::kFloat);
      const auto partial = at::full({parts, width}, NAN);
      auto dx = at::empty_like(x), dweight = at::empty_like(weight);
      emulate({.x = static_cast<unsigned>(parts)}, {.x = static_cast<unsigned>(threads)}, (width + 32) * sizeof(float),
              device::rms_norm_backward_rows<T, n>, data<T>(dy), data<T>(x), data<T>(weight), data<float>(inverse),
              data<T>(dx), data<float>(partial), rows, width);
      emulate({.x = static_cast<unsigned>(width + 31) / 32}, {.x = 256}, 1024, device::sum_columns<T>,
              data<float>(partial), data<T>(dweight), parts, width);
      DOCTEST_CHECK(close(dx, wide.grad(), kind.tolerance, 2));
      DOCTEST_CHECK(close(dweight, wide_weight.grad(), kind.tolerance, 2));
    }
  });
}

DOCTEST_TEST_CASE("cuda swiglu and its gradient agree with float64") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    for (const auto& [rows, packs] : {std::pair{1, 1}, {5, 3}, {7, 21}}) {
      const int width = packs * n;
      const int64_t count = rows * packs;
      const auto gate_up = (2 * at::randn({rows, 2 * width})).to(kind.dtype),
                 dy = at::randn({rows, width}).to(kind.dtype);
      const auto y = at::empty_like(dy), d = at::empty_like(gate_up);
      const auto wide = gate_up.to(at::kDouble).requires_grad_(true), exact = kernels::swiglu_reference(wide);
      (exact * dy.to(at::kDouble)).sum().backward();
      emulate({.x = blocks_for(count)}, {.x = 64}, 0, device::swiglu_forward<T, n>, data<T>(gate_up), data<T>(y), count,
              width);
      emulate({.x = blocks_for(count)}, {.x = 64}, 0, device::swiglu_gradient<T, n>, data<T>(gate_up), data<T>(dy),
              data<T>(d), count, width);
      DOCTEST_CHECK(close(y, exact.detach(), kind.tolerance));
      DOCTEST_CHECK(close(d, wide.grad(), kind.tolerance));
    }
  });
}

DOCTEST_TEST_CASE("cuda rotate agrees with float64 on strided heads, and rotates back") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    for (const auto& [rows, heads, packs] : {std::tuple{1, 1, 1}, {7, 3, 2}, {33, 2, 5}}) {
      const int half = packs * n;
      const auto all = at::randn({rows, heads + 2, 2 * half}).to(kind.dtype), x = all.narrow(1, 1, heads);
      const auto angles = 3 * at::randn({rows, half}), cos = angles.cos(), sin = angles.sin();
      const auto y = at::empty({rows, heads, 2 * half}, kind.dtype), back = at::empty_like(y);
      const int64_t count = rows * heads * packs;
      const auto rotate = [&](const at::Tensor& from, const at::Tensor& to, float sign) {
        emulate({.x = blocks_for(count)}, {.x = 64}, 0, device::rotate_pairs<T, n>, data<T>(from), data<float>(cos),
                data<float>(sin), data<T>(to), count, heads, half, from.stride(0), from.stride(1), sign);
      };
      rotate(x, y, 1);
      DOCTEST_CHECK(close(y, kernels::rotate_reference(x.to(at::kDouble), cos.to(at::kDouble), sin.to(at::kDouble)),
                          kind.tolerance));
      rotate(y, back, -1);
      DOCTEST_CHECK(close(back, x, 3 * kind.tolerance));
    }
  });
}

DOCTEST_TEST_CASE("cuda merge_attention gives the attention over both sets of columns, and passes over an empty one") {
  each_kind([](auto kind, auto n) {
    using T = typename decltype(kind)::Scalar;
    const int rows = 5, heads = 3, width = 3 * n, columns = 11;
    const auto scores = 4 * at::randn({rows, heads, columns}, at::kDouble),
               values = at::randn({columns, width}, at::kDouble);
    const auto part = [&](int64_t first, int64_t count) {
      const auto own = scores.narrow(2, first, count);
      return std::pair{at::matmul(own.softmax(-1), values.narrow(0, first, count)), own.logsumexp(-1)};
    };
    auto [a, log_a] = part(0, 4);
    auto [b, log_b] = part(4, 7);
    auto [exact, exact_log] = part(0, columns);
    a[1].fill_(NAN), log_a[1].fill_(-INFINITY), exact[1] = b[1], exact_log[1] = log_b[1];
    b[2].fill_(NAN), log_b[2].fill_(-INFINITY), exact[2] = a[2], exact_log[2] = log_a[2];
    for (const auto* log : {&log_a, &log_b, &exact_log}) log->select(0, 3).fill_(-INFINITY);
    exact[3].zero_();
    const auto first = a.to(kind.dtype), second = b.to(kind.dtype), out = at::empty_like(first);
    // As flash attention gives them: [N, T]
    const auto first_log = log_a.to(at::kFloat).t().contiguous().t(), second_log = log_b.to(at::kFloat);
    const auto log_sum = at::empty({rows, heads});
    const auto sums_of = [](const at::Tensor& x) { return device::LogSums{data<float>(x), x.stride(0), x.stride(1)}; };
    const int64_t count = rows * heads * 3;
    emulate({.x = blocks_for(count)}, {.x = 64}, 0, device::merge_parts<T, n>, data<T>(first), sums_of(first_log),
            data<T>(second), sums_of(second_log), data<T>(out), data<float>(log_sum), count, heads, width);
    DOCTEST_CHECK(close(out, exact, 2 * kind.tolerance));
    DOCTEST_CHECK(close(log_sum, exact_log, 1e-5));
  });
}
