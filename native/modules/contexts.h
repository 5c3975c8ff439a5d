#pragma once
#include <utility>
#include <vector>

#include "core/attention_context.h"
#include "kernels/kernels.h"

namespace sightloop::modules {

// Independent segments of packed rows: sequences of text, or windows and images of a vision tower.
class SegmentContext : public core::AttentionContext {
 public:
  SegmentContext(std::vector<int64_t> boundaries, bool causal) : boundaries_(std::move(boundaries)), causal_(causal) {}
  at::Tensor attend(int64_t /*layer*/, const at::Tensor& query, const at::Tensor& key,
                    const at::Tensor& value) override {
    return kernels::segment_attention(query, key, value, boundaries_, causal_);
  }

 private:
  std::vector<int64_t> boundaries_;
  bool causal_;
};

// Groups whose completions share one prompt. Outlives the backward pass of what was computed with it.
class SharedPromptContext : public core::AttentionContext {
 public:
  explicit SharedPromptContext(const core::Groups& groups) : plan_(kernels::plan_shared_prompt(groups)) {}
  at::Tensor attend(int64_t /*layer*/, const at::Tensor& query, const at::Tensor& key,
                    const at::Tensor& value) override {
    return kernels::shared_prompt_attention(query, key, value, plan_);
  }

 private:
  kernels::SharedPromptPlan plan_;
};

}  // namespace sightloop::modules
