#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "kernels/attention_layout.h"
#include "kernels/group_attention.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

// float32 with a dense last axis
at::Tensor readable(const at::Tensor& x) {
  const auto wide = x.to(at::kFloat);
  return wide.stride(2) == 1 ? wide : wide.contiguous();
}

// Output and log-sums of both implementations; log_sum is [T, N] on the CPU, [N, T] elsewhere.
struct Attended {
  at::Tensor output, log_sum;
};

Attended forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, AttentionLayout& layout) {
  if (query.is_cpu()) {
    const auto [output, log_sum] =
        group_attention(readable(query), readable(key), readable(value), layout.groups(), layout.causal());
    return {.output = output, .log_sum = log_sum};
  }
  const auto [output, log_sum] = shared_prompt_forward(query, key, value, layout.on(query.device()));
  return {.output = output, .log_sum = log_sum};
}

torch::autograd::variable_list backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, const Attended& attended, AttentionLayout& layout) {
  if (query.is_cpu()) {
    const auto d = group_attention_backward(readable(gradient), readable(query), readable(key), readable(value),
                                            {.output = attended.output, .log_sum = attended.log_sum}, layout.groups(),
                                            layout.causal());
    const auto dtype = query.scalar_type();
    return {d.query.to(dtype), d.key.to(dtype), d.value.to(dtype), at::Tensor()};
  }
  const auto d =
      shared_prompt_backward(gradient.contiguous(), query, key, value,
                             {.output = attended.output, .log_sum = attended.log_sum}, layout.on(query.device()));
  return {d.query, d.key, d.value, at::Tensor()};
}

class Attention : public torch::autograd::Function<Attention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const c10::intrusive_ptr<AttentionLayout>& layout) {
    const auto attended = kernels::forward(query, key, value, *layout);
    context->save_for_backward({query, key, value, attended.output, attended.log_sum});
    context->saved_data["layout"] = c10::IValue::make_capsule(layout);
    return attended.output.to(query.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto layout = c10::static_intrusive_pointer_cast<AttentionLayout>(context->saved_data["layout"].toCapsule());
    return kernels::backward(gradients[0], saved[0], saved[1], saved[2], {.output = saved[3], .log_sum = saved[4]},
                             *layout);
  }
};

}  // namespace

AttentionLayout::AttentionLayout(core::Groups groups, bool causal) : groups_(std::move(groups)), causal_(causal) {
  for (const auto& group : groups_) {
    TORCH_INTERNAL_ASSERT(group.begin == tokens_);
    tokens_ += group.prompt_length + group.completion_tokens();
  }
}

const GroupSegments& AttentionLayout::on(at::Device device) {
  if (!segments_) segments_ = std::make_unique<GroupSegments>(groups_, causal_, device);
  return *segments_;
}

LayoutPtr shared_prompt_layout(core::Groups groups) {
  return c10::make_intrusive<AttentionLayout>(std::move(groups), /*causal=*/true);
}

LayoutPtr segment_layout(std::span<const int64_t> boundaries, bool causal) {
  TORCH_CHECK(boundaries.size() >= 2 && boundaries.front() == 0, "segment_layout: boundaries must ascend from 0");
  core::Groups groups;
  for (size_t i = 0; i + 1 < boundaries.size(); ++i)
    groups.push_back(
        {.begin = boundaries[i], .prompt_length = boundaries[i + 1] - boundaries[i], .completion_lengths = {}});
  return c10::make_intrusive<AttentionLayout>(std::move(groups), causal);
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayoutPtr& layout) {
  core::check_shape(query, {layout->tokens(), -1, -1}, "attention.query");
  core::check_shape(key, {layout->tokens(), -1, query.size(2)}, "attention.key");
  core::check_shape(value, key.sizes(), "attention.value");
  TORCH_CHECK(query.size(1) % key.size(1) == 0, "attention: ", query.size(1), " query heads do not share ", key.size(1),
              " key/value heads evenly");
  if (at::GradMode::is_enabled()) return Attention::apply(query, key, value, layout);
  return forward(query, key, value, *layout).output.to(query.scalar_type());
}

}  // namespace sightloop::kernels
