#include "ceilings/ceilings.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/cpu.h"
#include "core/device.h"
#include "core/timings.h"
#include "kernels/kernels.h"

namespace sightloop::ceilings {
namespace {

SIGHTLOOP_CPU_CLONES float sum_of(const float* values, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

}  // namespace

double median_seconds(const std::function<void()>& run, double seconds) {
  run();
  std::vector<double> laps;
  double spent = 0;
  core::Stopwatch watch;
  while (laps.size() < 3 || spent < seconds) {
    run();
    laps.push_back(watch.lap());
    spent += laps.back();
  }
  std::nth_element(laps.begin(), laps.begin() + static_cast<std::ptrdiff_t>(laps.size() / 2), laps.end());
  return laps[laps.size() / 2];
}

double gemm_flops_per_second(const GemmShape& shape, double seconds, const Where& where) {
  TORCH_CHECK(shape.rows > 0 && shape.inputs > 0 && shape.outputs > 0, "measureGemm: sizes must be positive, got ",
              shape.rows, " x ", shape.inputs, " x ", shape.outputs);
  const at::NoGradGuard no_grad;
  const auto options = at::device(where.device).dtype(where.dtype);
  const auto x = at::rand({shape.rows, shape.inputs}, options),
             weight = at::rand({shape.outputs, shape.inputs}, options);
  const auto dy = at::rand({shape.rows, shape.outputs}, options);
  const auto rate = [&](std::initializer_list<std::function<void()>> ways) {
    std::vector<double> medians;
    for (const auto& way : ways)
      medians.push_back(median_seconds(
          [&] {
            way();
            core::wait_for(where.device);
          },
          seconds));
    return shape.flops() / *std::min_element(medians.begin(), medians.end());
  };
  switch (shape.product) {
    case Product::forward: {
      if (!where.device.is_cpu() || where.dtype != at::kFloat) return rate({[&] { kernels::product(x, weight, {}); }});
      const auto packed = kernels::pack_weight(weight);
      return rate({[&] { kernels::product(x, weight, {}); }, [&] { kernels::packed_linear(x, packed, {}); },
                   [&] { at::linear(x, weight); }});
    }
    case Product::input_gradient:
      return rate({[&] { kernels::product(dy, weight.t(), {}); }, [&] { at::mm(dy, weight); }});
    case Product::weight_gradient:
      return rate({[&] { kernels::weight_gradient(dy, x); }, [&] { at::mm(dy.t(), x); }});
  }
  TORCH_INTERNAL_ASSERT(false);
}

double read_bytes_per_second(int64_t bytes, double seconds, const Where& where) {
  if (!where.device.is_cpu()) {
    const auto from = at::ones({bytes}, at::device(where.device).dtype(at::kByte)), to = at::empty_like(from);
    const auto copy = [&] {
      to.copy_(from);
      core::wait_for(where.device);
    };
    return 2 * static_cast<double>(bytes) / median_seconds(copy, seconds);
  }
  const auto buffer = at::ones({bytes / static_cast<int64_t>(sizeof(float))}, at::kFloat);
  const auto* values = buffer.const_data_ptr<float>();
  std::atomic<float> kept = 0;  // the sums must be used, or the compiler may skip the reads
  const auto read = [&] {
    at::parallel_for(0, buffer.numel(), int64_t{1} << 18,
                     [&](int64_t begin, int64_t end) { kept = sum_of(values + begin, end - begin); });
  };
  return static_cast<double>(buffer.nbytes()) / median_seconds(read, seconds);
}

}  // namespace sightloop::ceilings
