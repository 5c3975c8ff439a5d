#include "kernels/launch.cuh"
#include "kernels/sample.cuh"

namespace sightloop::kernels::cuda {

constexpr unsigned kSampleThreads = 1024;
constexpr int64_t kMostVocabulary = (48 * 1024 - 256) * 8;  // one bit a token in shared memory

Sampled sample(const at::Tensor& logits, const SampleSettings& settings, const DrawKeys& keys) {
  check_like(logits, {-1, -1}, at::kFloat, "sample.logits");
  const auto slots = logits.size(0), vocabulary = logits.size(1);
  check_like(settings.temperature, {slots}, at::kFloat, "sample.temperature");
  check_like(settings.top_k, {slots}, at::kInt, "sample.top_k");
  check_like(settings.top_p, {slots}, at::kFloat, "sample.top_p");
  check_like(settings.banned, {-1}, at::kLong, "sample.banned");
  check_like(keys.seed_step, {2}, at::kLong, "sample.seed_step");
  check_like(keys.prompt_id, {slots}, at::kLong, "sample.prompt_id");
  check_like(keys.sample_index, {slots}, at::kInt, "sample.sample_index");
  check_like(keys.position, {slots}, at::kInt, "sample.position");
  TORCH_CHECK(vocabulary > 0 && vocabulary <= kMostVocabulary, "sample: a vocabulary of ", vocabulary,
              " tokens is not within 1 .. ", kMostVocabulary);
  Sampled result{.tokens = at::empty({slots}, logits.options().dtype(at::kLong)),
                 .logprobs = at::empty({slots}, logits.options()),
                 .sampling_logprobs = at::empty({slots}, logits.options()),
                 .margins = at::empty({slots}, logits.options())};
  if (slots == 0) return result;
  const c10::cuda::CUDAGuard guard(logits.device());
  with_vector(
      logits, "sample", [&](int n) { return aligned({logits}) && vocabulary % n == 0; },
      [&](auto zero, auto n) {
        if constexpr (std::is_same_v<decltype(zero), float>)
          device::sample_rows<n.value>
              <<<static_cast<unsigned>(slots), kSampleThreads,
                 device::sample_shared(vocabulary, settings.banned.size(0)), c10::cuda::getCurrentCUDAStream()>>>(
                  {.logits = logits.const_data_ptr<float>(),
                   .temperature = settings.temperature.const_data_ptr<float>(),
                   .top_k = settings.top_k.const_data_ptr<int32_t>(),
                   .top_p = settings.top_p.const_data_ptr<float>(),
                   .banned = settings.banned.const_data_ptr<int64_t>(),
                   .seed_step = keys.seed_step.const_data_ptr<int64_t>(),
                   .prompt_id = keys.prompt_id.const_data_ptr<int64_t>(),
                   .sample_index = keys.sample_index.const_data_ptr<int32_t>(),
                   .position = keys.position.const_data_ptr<int32_t>(),
                   .count = static_cast<int>(vocabulary),
                   .banned_count = static_cast<int>(settings.banned.size(0))},
                  {.tokens = result.tokens.mutable_data_ptr<int64_t>(),
                   .logprobs = result.logprobs.mutable_data_ptr<float>(),
                   .sampling_logprobs = result.sampling_logprobs.mutable_data_ptr<float>(),
                   .margins = result.margins.mutable_data_ptr<float>()});
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return result;
}

}  // namespace sightloop::kernels::cuda
