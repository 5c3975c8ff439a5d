#pragma once
#include <memory>
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

// Groups whose completions share one prompt.
class SharedPromptContext : public core::AttentionContext {
 public:
  explicit SharedPromptContext(core::Groups groups)
      : groups_(std::make_shared<const core::Groups>(std::move(groups))) {}
  at::Tensor attend(int64_t /*layer*/, const at::Tensor& query, const at::Tensor& key,
                    const at::Tensor& value) override {
    return kernels::shared_prompt_attention(query, key, value, groups_);
  }

 private:
  std::shared_ptr<const core::Groups> groups_;
};

}  // namespace sightloop::modules
