#pragma once
#include <cstdint>
#include <functional>

// What this machine reaches, measured by running it: the limits that a benchmark compares with.
namespace sightloop::ceilings {

// One matrix product of a linear layer y = x W^T:  x [rows, inputs]   W [outputs, inputs].
enum class Product { forward, input_gradient, weight_gradient };

struct GemmShape {
  Product product;
  int64_t rows, inputs, outputs;

  double flops() const { return 2.0 * static_cast<double>(rows) * static_cast<double>(inputs * outputs); }
};

// Median seconds of one call of `run`, called for at least `seconds` in all and three times, once more to warm up.
double median_seconds(const std::function<void()>& run, double seconds);

// Floating-point operations a second of a float32 product, operands warm in cache where they fit: the fastest of the
// engine's own ways (for `forward` also over a packed weight, as it decodes) and ATen's.
double gemm_flops_per_second(const GemmShape& shape, double seconds);

// Bytes a second that all threads read from a buffer of `bytes` bytes, together.
double read_bytes_per_second(int64_t bytes, double seconds);

}  // namespace sightloop::ceilings
