#pragma once
#include <ATen/core/Tensor.h>

// Rows of the LM head's logits: log-probability of a target and entropy, and their gradients. R rows, V vocabulary.
namespace sightloop::kernels {

struct HeadRows {
  at::Tensor logprobs, entropy;  // [R] float32, nats
  at::Tensor log_sums;           // [R] float32, log of the sum of e^logit

  HeadRows narrow(int64_t begin, int64_t count) const;
};

// Fills `rows`.   logits [R, V] float32, at the temperature   targets [R] int64
void sum_rows(const at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows);
// In place, logits to gradients.   dlogprobs, dentropy [R] float32: of the rows' results, divided by the temperature
void differentiate_rows(at::Tensor& logits, const at::Tensor& targets, const HeadRows& rows,
                        const at::Tensor& dlogprobs, const at::Tensor& dentropy);

}  // namespace sightloop::kernels
