#include "pipeline/update/adamw.h"

#include <ATen/ATen.h>

#include "core/device.h"

namespace sightloop::update {
namespace {

at::Tensor host_like(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(tensor.is_cuda()));
}

// Returns before the values are there: core::wait_for. What is on the host already is not copied.
at::Tensor fetch(const at::Tensor& tensor) {
  return tensor.is_cpu() ? tensor : host_like(tensor).copy_(tensor, /*non_blocking=*/true);
}

// Pinned memory that is let go of on the way is not given away before the copy has ended.
void send(const at::Tensor& value, const at::Tensor& to) {
  if (value.scalar_type() == to.scalar_type())
    to.copy_(value, /*non_blocking=*/true);
  else
    to.copy_(host_like(to).copy_(value), /*non_blocking=*/true);
}

std::vector<Stepping> in_parts(std::span<const Stepping> stepped) {
  std::vector<Stepping> parts;
  for (const auto& whole : stepped)
    for (int64_t begin = 0; begin < whole.value.numel(); begin += kHostPart) {
      const auto part = [&](const at::Tensor& tensor) {
        return tensor.defined() ? tensor.narrow(0, begin, std::min(kHostPart, tensor.numel() - begin)) : at::Tensor();
      };
      parts.push_back({.value = part(whole.value),
                       .gradient = part(whole.gradient),
                       .exp_avg = part(whole.exp_avg),
                       .exp_avg_sq = part(whole.exp_avg_sq),
                       .compute = part(whole.compute),
                       .updates = whole.updates});
    }
  return parts;
}

}  // namespace

void adamw(std::span<const Stepping> stepped, const OptimizerOptions& options, double rate) {
  if (stepped.empty()) return;
  std::vector<at::Tensor> values, gradients, exp_avgs, exp_avg_sqs;
  std::vector<float> updates;
  for (const auto& one : stepped) {
    values.push_back(one.value);
    gradients.push_back(one.gradient);
    exp_avgs.push_back(one.exp_avg);
    exp_avg_sqs.push_back(one.exp_avg_sq);
    updates.push_back(one.updates);
  }
  const auto steps = at::tensor(updates, at::kFloat).to(values[0].device()).unbind();
  at::_fused_adamw_(values, gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps, rate, options.beta1,
                    options.beta2, options.weight_decay, options.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  for (const auto& one : stepped)
    if (one.compute.defined()) one.compute.copy_(one.value);
}

void adamw_on_host(std::span<const Stepping> stepped, const OptimizerOptions& options, double rate) {
  const auto parts = in_parts(stepped);
  const auto fetched = [&](size_t i) {
    auto part = parts[i];
    part.value = fetch(part.value);
    part.gradient = fetch(part.gradient);
    part.compute = at::Tensor();
    return part;
  };
  std::optional<Stepping> next;
  if (!parts.empty()) next = fetched(0);
  for (size_t i = 0; i < parts.size(); ++i) {
    core::wait_for(parts[i].gradient.device());
    const auto here = *std::exchange(next, std::nullopt);
    if (i + 1 < parts.size()) next = fetched(i + 1);
    adamw({&here, 1}, options, rate);
    const auto& of = parts[i];
    if (of.compute.defined())
      send(here.value, of.compute);
    else if (!of.value.is_cpu())
      send(here.value, of.value);
  }
}

}  // namespace sightloop::update
