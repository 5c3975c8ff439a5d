#pragma once
#include <ATen/core/Tensor.h>

#include <span>

#include "pipeline/update/optimizer.h"

namespace sightloop::update {

// One parameter in one optimizer step; flat, float32 unless said otherwise.
struct Stepping {
  at::Tensor value;                // the master, or what forward and backward see
  at::Tensor gradient;             // beside what forward and backward see
  at::Tensor exp_avg, exp_avg_sq;  // where the master would be
  at::Tensor compute;  // receives `value`, rounded to its own narrower dtype; undefined where `value` is that
  float updates;       // this one included
};

// Everything lies on one device.
void adamw(std::span<const Stepping> stepped, const OptimizerOptions& options, double rate);
// Moments and masters lie on the host, gradients and what forward and backward see elsewhere: part by part, the next one's
// gradient is on its way to the host while this one is stepped there and its values go back. As many values at once as
// kHostPart, so that little host memory is pinned.
void adamw_on_host(std::span<const Stepping> stepped, const OptimizerOptions& options, double rate);
constexpr int64_t kHostPart = int64_t{1} << 24;

}  // namespace sightloop::update
