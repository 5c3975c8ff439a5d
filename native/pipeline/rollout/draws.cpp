#include "pipeline/rollout/draws.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/cuda.h"

namespace sightloop::rollout {
namespace {

// A device without a kernel of its own: by way of the host.
DrawnTokens draw_by_host(const at::Tensor& logits, const DrawColumns& device_columns) {
  const auto columns = device_columns.to(at::kCPU);
  const auto banned = columns.banned.const_data_ptr<int64_t>();
  const auto count = logits.size(0);
  std::vector<kernels::SampleOptions> options;
  std::vector<Draw> draws;
  for (int64_t i = 0; i < count; ++i)
    options.push_back({.temperature = columns.temperatures.const_data_ptr<float>()[i],
                       .top_k = columns.top_k.const_data_ptr<int32_t>()[i],
                       .top_p = columns.top_p.const_data_ptr<float>()[i],
                       .banned = {banned, banned + columns.banned.numel()}});
  for (int64_t i = 0; i < count; ++i)
    draws.push_back({.options = &options[static_cast<size_t>(i)],
                     .key = {.seed = static_cast<uint64_t>(columns.seed_step.const_data_ptr<int64_t>()[0]),
                             .step = static_cast<uint64_t>(columns.seed_step.const_data_ptr<int64_t>()[1]),
                             .prompt_id = static_cast<uint64_t>(columns.prompt_ids.const_data_ptr<int64_t>()[i]),
                             .sample_index = static_cast<uint32_t>(columns.sample_indices.const_data_ptr<int32_t>()[i]),
                             .position = static_cast<uint32_t>(columns.positions.const_data_ptr<int32_t>()[i])},
                     .row = i});
  const auto samples = draw_on_host(logits.cpu(), draws);
  auto tokens = at::empty({count}, at::kLong);
  auto logprobs = at::empty({count}, at::kFloat), sampling_logprobs = at::empty_like(logprobs),
       margins = at::empty_like(logprobs);
  for (int64_t i = 0; i < count; ++i) {
    const auto& sample = samples[static_cast<size_t>(i)];
    tokens.data_ptr<int64_t>()[i] = sample.token;
    logprobs.data_ptr<float>()[i] = sample.logprob;
    sampling_logprobs.data_ptr<float>()[i] = sample.sampling_logprob;
    margins.data_ptr<float>()[i] = sample.margin;
  }
  const auto device = logits.device();
  return {.tokens = tokens.to(device),
          .logprobs = logprobs.to(device),
          .sampling_logprobs = sampling_logprobs.to(device),
          .margins = margins.to(device)};
}

}  // namespace

std::vector<kernels::Sample> draw_on_host(const at::Tensor& logits, std::span<const Draw> draws) {
  const auto width = static_cast<size_t>(logits.size(1));
  std::vector<kernels::Sample> samples(draws.size());
  at::parallel_for(0, static_cast<int64_t>(draws.size()), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const auto* row = logits.const_data_ptr<float>() + static_cast<size_t>(draws[i].row) * width;
      samples[i] = kernels::sample({row, width}, *draws[i].options, core::uniform(draws[i].key), scratch);
    }
  });
  return samples;
}

std::vector<kernels::Sample> DrawnTokens::on_host() const {
  const auto host_tokens = tokens.cpu(), host_logprobs = logprobs.cpu(), host_sampling = sampling_logprobs.cpu(),
             host_margins = margins.cpu();
  std::vector<kernels::Sample> samples;
  for (int64_t i = 0; i < tokens.size(0); ++i)
    samples.push_back({.token = host_tokens.const_data_ptr<int64_t>()[i],
                       .logprob = host_logprobs.const_data_ptr<float>()[i],
                       .sampling_logprob = host_sampling.const_data_ptr<float>()[i],
                       .margin = host_margins.const_data_ptr<float>()[i]});
  return samples;
}

DrawColumns DrawColumns::to(at::Device device) const {
  return {.prompt_ids = prompt_ids.to(device),
          .sample_indices = sample_indices.to(device),
          .positions = positions.to(device),
          .top_k = top_k.to(device),
          .temperatures = temperatures.to(device),
          .top_p = top_p.to(device),
          .banned = banned.to(device),
          .seed_step = seed_step.to(device)};
}

DrawColumns draw_columns(std::span<const Draw> draws) {
  TORCH_INTERNAL_ASSERT(!draws.empty());
  std::vector<int64_t> prompt_ids;
  std::vector<int32_t> sample_indices, positions, top_k;
  std::vector<float> temperatures, top_p;
  for (const auto& [options, key, row] : draws) {
    prompt_ids.push_back(static_cast<int64_t>(key.prompt_id));
    sample_indices.push_back(static_cast<int32_t>(key.sample_index));
    positions.push_back(static_cast<int32_t>(key.position));
    top_k.push_back(static_cast<int32_t>(options->top_k));
    temperatures.push_back(static_cast<float>(options->temperature));
    top_p.push_back(static_cast<float>(options->top_p));
  }
  return {.prompt_ids = at::tensor(prompt_ids, at::kLong),
          .sample_indices = at::tensor(sample_indices, at::kInt),
          .positions = at::tensor(positions, at::kInt),
          .top_k = at::tensor(top_k, at::kInt),
          .temperatures = at::tensor(temperatures, at::kFloat),
          .top_p = at::tensor(top_p, at::kFloat),
          .banned = at::tensor(draws[0].options->banned, at::kLong),
          .seed_step = at::tensor({static_cast<int64_t>(draws[0].key.seed), static_cast<int64_t>(draws[0].key.step)},
                                  at::kLong)};
}

std::vector<kernels::Sample> checked(std::vector<kernels::Sample> samples) {
  for (const auto& sample : samples)
    TORCH_CHECK(sample.token >= 0, "the model's logits are not finite: its weights have diverged, or are damaged");
  return samples;
}

DrawnTokens draw_on_device(const at::Tensor& logits, const DrawColumns& columns) {
  if (!logits.is_cuda()) return draw_by_host(logits, columns);
  const auto drawn = kernels::cuda::sample(
      logits,
      {.temperature = columns.temperatures, .top_k = columns.top_k, .top_p = columns.top_p, .banned = columns.banned},
      {.seed_step = columns.seed_step,
       .prompt_id = columns.prompt_ids,
       .sample_index = columns.sample_indices,
       .position = columns.positions});
  return {.tokens = drawn.tokens,
          .logprobs = drawn.logprobs,
          .sampling_logprobs = drawn.sampling_logprobs,
          .margins = drawn.margins};
}

}  // namespace sightloop::rollout
