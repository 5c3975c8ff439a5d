#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "kernels/kernels.h"

namespace sightloop::rollout {

// One token to be drawn.
struct Draw {
  const kernels::SampleOptions* options;
  core::DrawKey key;
  int64_t row = 0;  // of the logits
};

// Draws on the host, from logits [R, V] float32 that lie there.   returns one sample a draw
std::vector<kernels::Sample> draw_on_host(const at::Tensor& logits, std::span<const Draw> draws);

// Samples that lie on a device, or are being computed there. N draws.
struct DrawnTokens {
  at::Tensor tokens;                                // [N] int64
  at::Tensor logprobs, sampling_logprobs, margins;  // [N] float32

  // Waits for them.
  std::vector<kernels::Sample> on_host() const;
};
// What a row is drawn with, as a device reads it. N rows.
struct DrawColumns {
  at::Tensor prompt_ids;                 // [N] int64
  at::Tensor sample_indices, positions;  // [N] int32
  at::Tensor top_k;                      // [N] int32
  at::Tensor temperatures, top_p;        // [N] float32
  at::Tensor banned;                     // int64
  at::Tensor seed_step;                  // [2] int64

  DrawColumns to(at::Device device) const;
};
DrawColumns draw_columns(std::span<const Draw> draws);

// The samples; throws where a device found logits that are not finite.
std::vector<kernels::Sample> checked(std::vector<kernels::Sample> samples);

// Draws where the logits lie: row i with column i.
DrawnTokens draw_on_device(const at::Tensor& logits, const DrawColumns& columns);

}  // namespace sightloop::rollout
