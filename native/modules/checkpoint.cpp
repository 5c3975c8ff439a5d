#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "modules/modules.h"

namespace sightloop::modules {
namespace {

struct Call : torch::CustomClassHolder {
  const Block* block;
  RotaryAngles angles;
  int64_t layer;
  std::shared_ptr<core::AttentionContext> context;

  at::Tensor run(const at::Tensor& x) const { return (*block)(x, angles, layer, *context); }
};

// `anchor` requires a gradient always, so that the block's weights get theirs even where its input needs none.
class Checkpoint : public torch::autograd::Function<Checkpoint> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*anchor*/, const c10::intrusive_ptr<Call>& call) {
    context->save_for_backward({x});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return call->run(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto call = c10::static_intrusive_pointer_cast<Call>(context->saved_data["call"].toCapsule());
    const auto x = context->get_saved_variables()[0].detach().requires_grad_(context->needs_input_grad(0));
    const at::AutoGradMode with_graph(true);
    torch::autograd::backward({call->run(x)}, {gradients[0]});  // adds to the gradients of the block's weights
    return {x.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor checkpoint(const Block& block, const at::Tensor& x, const RotaryAngles& angles, int64_t layer,
                      std::shared_ptr<core::AttentionContext> context) {
  if (!at::GradMode::is_enabled()) return block(x, angles, layer, *context);
  auto call = c10::make_intrusive<Call>();
  call->block = &block;
  call->angles = angles;
  call->layer = layer;
  call->context = std::move(context);
  return Checkpoint::apply(x, at::empty({0}).requires_grad_(true), call);
}

}  // namespace sightloop::modules
