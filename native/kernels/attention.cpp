#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "kernels/group_attention.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

struct Layout : torch::CustomClassHolder {
  Layout(std::shared_ptr<const core::Groups> groups, bool causal) : groups(std::move(groups)), causal(causal) {}
  std::shared_ptr<const core::Groups> groups;
  bool causal;
};

// float32 with a dense last axis
at::Tensor readable(const at::Tensor& x) {
  const auto wide = x.to(at::kFloat);
  return wide.stride(2) == 1 ? wide : wide.contiguous();
}

class Attention : public torch::autograd::Function<Attention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const c10::intrusive_ptr<Layout>& layout) {
    const auto result =
        group_attention(readable(query), readable(key), readable(value), *layout->groups, layout->causal);
    context->save_for_backward({query, key, value, result.output, result.log_sum});
    context->saved_data["layout"] = c10::IValue::make_capsule(layout);
    return result.output.to(query.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto layout = c10::static_intrusive_pointer_cast<Layout>(context->saved_data["layout"].toCapsule());
    const auto d =
        group_attention_backward(readable(gradients[0]), readable(saved[0]), readable(saved[1]), readable(saved[2]),
                                 {.output = saved[3], .log_sum = saved[4]}, *layout->groups, layout->causal);
    const auto dtype = saved[0].scalar_type();
    return {d.query.to(dtype), d.key.to(dtype), d.value.to(dtype), at::Tensor()};
  }
};

at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  std::shared_ptr<const core::Groups> groups, bool causal) {
  TORCH_CHECK(query.size(1) % key.size(1) == 0, "attention: ", query.size(1), " query heads do not share ", key.size(1),
              " key/value heads evenly");
  if (!at::GradMode::is_enabled())
    return group_attention(readable(query), readable(key), readable(value), *groups, causal)
        .output.to(query.scalar_type());
  return Attention::apply(query, key, value, c10::make_intrusive<Layout>(std::move(groups), causal));
}

}  // namespace

at::Tensor shared_prompt_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                   const std::shared_ptr<const core::Groups>& groups) {
  int64_t tokens = 0;
  for (const auto& group : *groups) {
    TORCH_INTERNAL_ASSERT(group.begin == tokens);
    tokens += group.prompt_length + group.completion_tokens();
  }
  core::check_shape(query, {tokens, -1, -1}, "shared_prompt_attention.query");
  core::check_shape(key, {tokens, -1, query.size(2)}, "shared_prompt_attention.key");
  core::check_shape(value, key.sizes(), "shared_prompt_attention.value");
  return attend(query, key, value, groups, /*causal=*/true);
}

at::Tensor segment_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::span<const int64_t> boundaries, bool causal) {
  TORCH_CHECK(boundaries.size() >= 2 && boundaries.front() == 0 && boundaries.back() == query.size(0),
              "segment_attention: boundaries must run from 0 to ", query.size(0));
  core::check_shape(key, {query.size(0), -1, query.size(2)}, "segment_attention.key");
  core::check_shape(value, key.sizes(), "segment_attention.value");
  auto groups = std::make_shared<core::Groups>();
  for (size_t i = 0; i + 1 < boundaries.size(); ++i)
    groups->push_back(
        {.begin = boundaries[i], .prompt_length = boundaries[i + 1] - boundaries[i], .completion_lengths = {}});
  return attend(query, key, value, std::move(groups), causal);
}

}  // namespace sightloop::kernels
