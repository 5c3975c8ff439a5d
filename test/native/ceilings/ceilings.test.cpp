#include "ceilings/ceilings.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "doctest/doctest.h"

using namespace sightloop;

DOCTEST_TEST_CASE("the median of repeated runs, after a warm-up, is not moved by one slow run") {
  using Clock = std::chrono::steady_clock;
  std::vector<double> runs;  // as they took, however busy the machine is
  const auto seconds = ceilings::median_seconds(
      [&] {
        const auto begin = Clock::now();
        std::this_thread::sleep_for(std::chrono::milliseconds(runs.size() == 2 ? 60 : 4));
        runs.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      },
      0.1);
  DOCTEST_CHECK(runs.size() >= 4);
  DOCTEST_CHECK(seconds >= 0.004);
  const auto half = static_cast<int64_t>(runs.size()) / 2;
  DOCTEST_CHECK(std::ranges::count_if(runs, [&](double run) { return run < 0.8 * seconds; }) <= half + 1);
  DOCTEST_CHECK(std::ranges::count_if(runs, [&](double run) { return run > 1.2 * seconds; }) <= half + 1);
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
