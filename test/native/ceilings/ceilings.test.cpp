#include "ceilings/ceilings.h"

#include <c10/util/Exception.h>

#include <chrono>
#include <thread>

#include "doctest/doctest.h"

using namespace sightloop;

DOCTEST_TEST_CASE("the median of repeated runs, after a warm-up, is not moved by one slow run") {
  int calls = 0;
  const auto seconds = ceilings::median_seconds(
      [&] { std::this_thread::sleep_for(std::chrono::milliseconds(++calls == 3 ? 60 : 4)); }, 0.1);
  DOCTEST_CHECK(calls >= 4);
  DOCTEST_CHECK(seconds >= 0.004);
  DOCTEST_CHECK(seconds < 0.03);
}

DOCTEST_TEST_CASE("every product of a linear layer has a rate, and so has reading memory") {
  using ceilings::Product;
  for (const auto product : {Product::forward, Product::input_gradient, Product::weight_gradient}) {
    const ceilings::GemmShape shape{.product = product, .rows = 3, .inputs = 17, .outputs = 5};
    DOCTEST_CHECK(shape.flops() == 2 * 3 * 17 * 5);
    DOCTEST_CHECK(ceilings::gemm_flops_per_second(shape, 0) > 0);
  }
  DOCTEST_CHECK(ceilings::read_bytes_per_second(1 << 20, 0) > 0);
  const ceilings::GemmShape empty{.product = Product::forward, .rows = 0, .inputs = 1, .outputs = 1};
  DOCTEST_CHECK_THROWS_AS(ceilings::gemm_flops_per_second(empty, 0), c10::Error);
}
