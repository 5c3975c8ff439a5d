#include "models/completion_logprobs.h"

#include <ATen/ATen.h>

namespace sightloop::models {

kernels::HeadLogprobs completion_logprobs(const Model& model, const core::PackedGroups& packed,
                                          const at::Tensor& image_features, double temperature,
                                          core::AttentionContext& context) {
  const auto embedded = model.embed(packed.token_ids, image_features);
  const auto hidden = model.forward(embedded, packed.positions, context, nullptr);
  const auto& head = model.head();
  return kernels::lm_head_logprobs(hidden.index_select(0, packed.predicting_rows.to(hidden.device())), head.weight,
                                   packed.targets, temperature, head.products);
}

}  // namespace sightloop::models
