#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "modules/modules.h"

namespace sightloop::modules {
namespace {

struct Call : torch::CustomClassHolder {
  Call(Computation run, HeldBlock block) : run(std::move(run)), block(block) {}
  Computation run;
  HeldBlock block;
};

// The block's weights are there while it lives.
class Hold {
 public:
  Hold(const HeldBlock& held, BlockWeights::Direction direction) : held_(held) {
    if (held_.weights != nullptr) held_.weights->hold(held_.block, direction);
  }
  ~Hold() {
    if (held_.weights != nullptr) held_.weights->let_go(held_.block);
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  HeldBlock held_;
};

// `anchor` requires a gradient always, so that the weights get theirs even where x needs none.
class Checkpoint : public torch::autograd::Function<Checkpoint> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*anchor*/, const c10::intrusive_ptr<Call>& call) {
    context->save_for_backward({x});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    const Hold hold(call->block, BlockWeights::Direction::forward);
    return call->run(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto call = c10::static_intrusive_pointer_cast<Call>(context->saved_data["call"].toCapsule());
    const auto x = context->get_saved_variables()[0].detach().requires_grad_(context->needs_input_grad(0));
    const at::AutoGradMode with_graph(true);
    const Hold hold(call->block, BlockWeights::Direction::backward);
    const auto y = call->run(x);
    // Adds to the gradients of the weights; where all are frozen and x needs none, there is nothing to do.
    if (y.requires_grad()) torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor checkpoint(const at::Tensor& x, Computation run, HeldBlock block) {
  if (!at::GradMode::is_enabled()) return run(x);
  return Checkpoint::apply(x, at::empty({0}).requires_grad_(true), c10::make_intrusive<Call>(std::move(run), block));
}

}  // namespace sightloop::modules
