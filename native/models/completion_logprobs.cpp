#include "models/completion_logprobs.h"

#include <ATen/ATen.h>

namespace sightloop::models {

kernels::HeadLogprobs completion_logprobs(const Model& model, const core::PackedGroups& packed,
                                          const at::Tensor& image_features, double temperature,
                                          core::AttentionContext& context) {
  const auto embedded = model.embed(packed.token_ids, image_features);
  const auto hidden = model.forward(embedded, packed.positions, context, nullptr);
  return kernels::lm_head_logprobs(hidden.index_select(0, packed.predicting_rows), model.head().weight, packed.targets,
                                   temperature);
}

}  // namespace sightloop::models
