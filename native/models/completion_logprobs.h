#pragma once
#include "core/packed_groups.h"
#include "kernels/kernels.h"
#include "models/model.h"

namespace sightloop::models {

// Log-probability and entropy of every predicted token of packed groups. Differentiable when gradients are on.
//   image_features [M, D] of the groups' images in order, or undefined. `context` must outlive the backward pass.
kernels::HeadLogprobs completion_logprobs(const Model& model, const core::PackedGroups& packed,
                                          const at::Tensor& image_features, double temperature,
                                          core::AttentionContext& context);

}  // namespace sightloop::models
