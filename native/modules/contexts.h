#pragma once
#include <utility>

#include "core/attention_context.h"
#include "kernels/kernels.h"

namespace sightloop::modules {

// Tokens of one packed pass: independent segments (sequences of text, or windows and images of a vision tower), or groups whose
// completions share one prompt.
class PackedContext : public core::AttentionContext {
 public:
  explicit PackedContext(kernels::LayoutPtr layout) : layout_(std::move(layout)) {}
  at::Tensor attend(int64_t /*layer*/, const at::Tensor& query, const at::Tensor& key,
                    const at::Tensor& value) override {
    return kernels::attention(query, key, value, layout_);
  }

 private:
  kernels::LayoutPtr layout_;
};

}  // namespace sightloop::modules
