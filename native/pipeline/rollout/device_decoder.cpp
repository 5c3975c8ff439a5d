#include "pipeline/rollout/device_decoder.h"

#include <ATen/ATen.h>

#include "pipeline/rollout/host_decoder.h"

namespace sightloop::rollout {

void DeviceDecoder::launch(const DecodeInputs& inputs) {
  if (cache_.moved()) graphs_.forget();
  const auto step = [this](const PackedInputs& on_device, const at::Tensor& fed_tokens) {
    using enum PackedInputs::Column;
    DecodeContext context(cache_, {.rows = on_device.column(kRow),
                                   .block_table = on_device.block_table(),
                                   .prompt_lengths = on_device.column(kPromptLength, at::kInt),
                                   .completion_lengths = on_device.column(kCompletionLength, at::kInt)});
    const auto positions = on_device.column(kPosition).expand({3, on_device.slots()});
    const auto hidden = model_.forward(model_.embed(fed_tokens, {}), positions, context, nullptr);
    return draw_on_device(model_.logits(hidden, /*sampling=*/true), on_device.draws());
  };
  const auto drawn = graphs_.run(PackedInputs(inputs), last_tokens_, step);
  last_tokens_ = drawn.tokens;
  under_way_.emplace_back(drawn, static_cast<int64_t>(inputs.draws.size()));
}

// Launches take no time of their own: waiting is decoding, sampling included.
std::vector<kernels::Sample> DeviceDecoder::read(core::RolloutTimings& timings) {
  core::Stopwatch watch;
  auto samples = checked(under_way_.front().wait());
  under_way_.pop_front();
  timings.decode_seconds += watch.lap();
  return samples;
}

std::unique_ptr<Decoder> create_decoder(const models::Model& model, KvCache& cache) {
  if (model.device().is_cpu()) return std::make_unique<HostDecoder>(model, cache);
  return std::make_unique<DeviceDecoder>(model, cache);
}

}  // namespace sightloop::rollout
