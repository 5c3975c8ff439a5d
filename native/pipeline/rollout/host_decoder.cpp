#include "pipeline/rollout/host_decoder.h"

#include <ATen/ATen.h>

namespace sightloop::rollout {

void HostDecoder::launch(const DecodeInputs& inputs) {
  TORCH_INTERNAL_ASSERT(!logits_.defined());
  core::Stopwatch watch;
  const auto active = static_cast<int64_t>(inputs.draws.size());
  DecodeContext context(cache_, {.rows = inputs.rows.narrow(0, 0, active),
                                 .block_table = inputs.block_table,
                                 .prompt_lengths = inputs.prompt_lengths,
                                 .completion_lengths = inputs.completion_lengths});
  const auto embedded = model_.embed(inputs.token_ids, {});
  const auto hidden = model_.forward(embedded, inputs.positions.expand({3, inputs.slots()}), context, nullptr);
  logits_ = model_.logits(hidden, /*sampling=*/true);
  draws_ = inputs.draws;
  decode_seconds_ = watch.lap();
}

std::vector<kernels::Sample> HostDecoder::read(core::RolloutTimings& timings) {
  core::Stopwatch watch;
  timings.decode_seconds += decode_seconds_;
  const auto samples = draw_on_host(std::exchange(logits_, at::Tensor()), draws_);
  timings.sampling_seconds += watch.lap();
  return samples;
}

}  // namespace sightloop::rollout
