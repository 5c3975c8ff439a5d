#pragma once
#include <ATen/core/Tensor.h>

namespace sightloop::core {

// Tensors in host memory that one device copies from without the host's help: page-locked for CUDA. They are cut from large
// blocks whose size is a power of two, to which libtorch would round each tensor's up. Lives as long as they do.
class PinnedMemory {
 public:
  explicit PinnedMemory(c10::Device device) : device_(device) {}
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype);

 private:
  at::Tensor bytes(int64_t count) const;

  c10::Device device_;
  at::Tensor block_;
  int64_t used_ = 0;
};

}  // namespace sightloop::core
