#pragma once
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

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

struct Where {
  c10::Device device = c10::DeviceType::CPU;
  c10::ScalarType dtype = c10::ScalarType::Float;
};

// Floating-point operations a second of a product, operands warm in cache where they fit: the fastest of the engine's own ways
// (for `forward` of float32 on the CPU also over a packed weight, as it decodes) and ATen's.
double gemm_flops_per_second(const GemmShape& shape, double seconds, const Where& where = {});

// Bytes a second that all threads read from a buffer of `bytes` bytes, together; on a device, bytes read and written by a copy.
double read_bytes_per_second(int64_t bytes, double seconds, const Where& where = {});

}  // namespace sightloop::ceilings
