#include "pipeline/trajectory/score.h"

#include <ATen/ATen.h>

#include "core/stop.h"
#include "models/completion_logprobs.h"
#include "modules/contexts.h"

namespace sightloop::trajectory {

Scores score(const models::Model& model, const batches::RolloutBatch& batch, const batches::PositionsOf& positions_of,
             const batches::FeaturesOf& features_of, double temperature, int64_t tokens_per_microbatch,
             const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  Scores scores{.logprobs = at::zeros({batch.token_ids.size(0)}, at::kFloat),
                .entropy = at::zeros({batch.token_ids.size(0)}, at::kFloat)};
  const auto groups = batches::group_rows(batch);
  for (const auto& pass : batches::plan_microbatches(batch, groups, tokens_per_microbatch)) {
    core::throw_if_stopped(stop);
    const auto packed = batches::pack(batch, pass, positions_of);
    modules::PackedContext context(kernels::shared_prompt_layout(packed.groups));
    const auto result = models::completion_logprobs(model, packed, features_of(packed.image_ids), temperature, context);
    scores.logprobs.index_copy_(0, packed.flat, result.logprobs.cpu());
    scores.entropy.index_copy_(0, packed.flat, result.entropy.cpu());
  }
  return scores;
}

}  // namespace sightloop::trajectory
