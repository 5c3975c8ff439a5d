#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace sightloop::kernels {

// A low-rank addition to a linear (LoRA, arXiv:2106.09685 section 4.1): for every range i of its outputs,
// y[:, range i] += scale * (x down_i^T) up_i^T. R rank, k ranges.
struct LowRank {
  struct Outputs {
    int64_t begin, rows;
  };
  at::Tensor down;  // [k R, in], A: R rows for each range. float32, or as wide as what it multiplies
  at::Tensor up;    // [sum of rows, R], B
  std::vector<Outputs> outputs;
  double scale = 0;

  int64_t rank() const { return up.size(1); }
};

// linear(x, weight, bias) with the addition, computed in x's dtype. Differentiable in x, down and up; weight and bias are
// frozen.   x [T, in]   returns [T, out]
at::Tensor low_rank_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const LowRank& low_rank);

// scale up_i down_i, what the addition comes to as a weight of its own.   returns [rows of range i, in], dtype of `up`
at::Tensor low_rank_weight(const LowRank& low_rank, size_t range);
// weight + the addition, in weight's dtype, summed in float32 or wider.   returns [out, in]
at::Tensor merged_weight(const at::Tensor& weight, const LowRank& low_rank);

}  // namespace sightloop::kernels
