#include "pipeline/rollout/draws.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "batches/batches.h"
#include "kernels/cuda.h"

namespace sightloop::rollout {
namespace {

kernels::Sample sample_row(const at::Tensor& logits, int64_t row, const kernels::SampleOptions& options,
                           const core::DrawKey& key, std::vector<float>& scratch) {
  const auto width = logits.size(1);
  const auto* values = logits.const_data_ptr<float>() + row * width;
  return kernels::sample({values, static_cast<size_t>(width)}, options, core::uniform(key), scratch);
}

// A device without a kernel of its own: by way of the host.
DrawnTokens draw_by_host(const at::Tensor& logits, const DrawColumns& device_columns) {
  using batches::values;
  const auto columns = device_columns.to(at::kCPU);
  const auto prompt_ids = values<int64_t>(columns.prompt_ids), banned = values<int64_t>(columns.banned),
             seed_step = values<int64_t>(columns.seed_step);
  const auto sample_indices = values<int32_t>(columns.sample_indices), positions = values<int32_t>(columns.positions),
             top_k = values<int32_t>(columns.top_k);
  const auto temperatures = values<float>(columns.temperatures), top_p = values<float>(columns.top_p);
  const auto host_logits = logits.cpu();
  std::vector<int64_t> tokens;
  std::vector<float> logprobs, sampling_logprobs, margins, scratch;
  for (int64_t row = 0; row < logits.size(0); ++row) {
    const auto i = static_cast<size_t>(row);
    const auto sample = sample_row(host_logits, row,
                                   {.temperature = temperatures[i],
                                    .top_k = top_k[i],
                                    .top_p = top_p[i],
                                    .banned = {banned.begin(), banned.end()}},
                                   {.seed = static_cast<uint64_t>(seed_step[0]),
                                    .step = static_cast<uint64_t>(seed_step[1]),
                                    .prompt_id = static_cast<uint64_t>(prompt_ids[i]),
                                    .sample_index = static_cast<uint32_t>(sample_indices[i]),
                                    .position = static_cast<uint32_t>(positions[i])},
                                   scratch);
    tokens.push_back(sample.token);
    logprobs.push_back(sample.logprob);
    sampling_logprobs.push_back(sample.sampling_logprob);
    margins.push_back(sample.margin);
  }
  const auto back = [&](const auto& drawn, at::ScalarType dtype) {
    return at::tensor(drawn, dtype).to(logits.device());
  };
  return {.tokens = back(tokens, at::kLong),
          .logprobs = back(logprobs, at::kFloat),
          .sampling_logprobs = back(sampling_logprobs, at::kFloat),
          .margins = back(margins, at::kFloat)};
}

}  // namespace

std::vector<kernels::Sample> draw_on_host(const at::Tensor& logits, std::span<const Draw> draws) {
  std::vector<kernels::Sample> samples(draws.size());
  at::parallel_for(0, static_cast<int64_t>(draws.size()), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      samples[i] = sample_row(logits, draws[i].row, *draws[i].options, draws[i].key, scratch);
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
