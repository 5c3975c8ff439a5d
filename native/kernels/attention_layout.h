#pragma once
#include <ATen/core/ivalue.h>

#include <memory>

#include "core/attention_context.h"
#include "kernels/shared_prompt.h"

namespace sightloop::kernels {

// Who sees whom in one packed pass. One object for all layers, forward and backward: what a device needs of it is made and sent
// at its first use.
class AttentionLayout : public torch::CustomClassHolder {
 public:
  //   groups: from token 0 on, end to end   causal: a token sees no later one of its own sequence
  AttentionLayout(core::Groups groups, bool causal);

  const core::Groups& groups() const { return groups_; }
  bool causal() const { return causal_; }
  int64_t tokens() const { return tokens_; }
  const GroupSegments& on(at::Device device);

 private:
  core::Groups groups_;
  bool causal_;
  int64_t tokens_ = 0;
  std::unique_ptr<GroupSegments> segments_;  // of the one device that has asked
};

}  // namespace sightloop::kernels
