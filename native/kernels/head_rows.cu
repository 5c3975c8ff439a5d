#include "kernels/head_rows.cuh"
#include "kernels/launch.cuh"

namespace sightloop::kernels::cuda {
namespace {

constexpr unsigned kRowThreads = 512;  // of every row: the order of its sums depends on it

bool vectors_fit(const at::Tensor& logits, int n) { return aligned({logits}) && logits.size(1) % n == 0; }

// targets and the float results or gradients of all rows
void check_rows(const at::Tensor& logits, const at::Tensor& targets, std::initializer_list<at::Tensor> of_all,
                int64_t begin, const char* name) {
  check_like(logits, {-1, -1}, logits.scalar_type(), name);
  check_like(targets, {-1}, at::kLong, name);
  for (const auto& tensor : of_all) check_like(tensor, targets.sizes(), at::kFloat, name);
  TORCH_INTERNAL_ASSERT(begin >= 0 && begin + logits.size(0) <= targets.size(0));
}

}  // namespace

void head_row_sums(const at::Tensor& logits, const at::Tensor& targets, double inverse_temperature,
                   at::Tensor& logprobs, at::Tensor& entropy, at::Tensor& log_sums, int64_t begin) {
  check_rows(logits, targets, {logprobs, entropy, log_sums}, begin, "head_row_sums");
  if (logits.numel() == 0) return;
  const c10::cuda::CUDAGuard guard(logits.device());
  with_vector(
      logits, "head_row_sums", [&](int n) { return vectors_fit(logits, n); },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        device::head_sum_rows<T, n.value>
            <<<static_cast<unsigned>(logits.size(0)), kRowThreads, 256, c10::cuda::getCurrentCUDAStream()>>>(
                logits.const_data_ptr<T>(), targets.const_data_ptr<int64_t>(),
                {.logprobs = logprobs.mutable_data_ptr<float>(),
                 .entropy = entropy.mutable_data_ptr<float>(),
                 .log_sums = log_sums.mutable_data_ptr<float>()},
                begin, static_cast<int>(logits.size(1)), static_cast<float>(inverse_temperature));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

void head_differentiate(at::Tensor& logits, const at::Tensor& targets, const at::Tensor& log_sums,
                        const at::Tensor& entropy, const at::Tensor& dlogprobs, const at::Tensor& dentropy,
                        int64_t begin, double inverse_temperature) {
  check_rows(logits, targets, {log_sums, entropy, dlogprobs, dentropy}, begin, "head_differentiate");
  if (logits.numel() == 0) return;
  const c10::cuda::CUDAGuard guard(logits.device());
  with_vector(
      logits, "head_differentiate", [&](int n) { return vectors_fit(logits, n); },
      [&](auto zero, auto n) {
        using T = decltype(zero);
        device::head_differentiate_rows<T, n.value>
            <<<static_cast<unsigned>(logits.size(0)), kRowThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
                logits.mutable_data_ptr<T>(), targets.const_data_ptr<int64_t>(),
                {.log_sums = log_sums.const_data_ptr<float>(),
                 .entropy = entropy.const_data_ptr<float>(),
                 .dlogprobs = dlogprobs.const_data_ptr<float>(),
                 .dentropy = dentropy.const_data_ptr<float>()},
                begin, static_cast<int>(logits.size(1)), static_cast<float>(inverse_temperature));
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace sightloop::kernels::cuda
