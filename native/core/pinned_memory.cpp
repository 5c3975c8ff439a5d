#include "core/pinned_memory.h"

#include <ATen/ATen.h>

namespace sightloop::core {
namespace {

constexpr int64_t kBlock = int64_t{1} << 28, kAlignment = 256;

}  // namespace

at::Tensor PinnedMemory::bytes(int64_t count) const {
  return at::empty({count}, at::device(at::kCPU).dtype(at::kByte).pinned_memory(device_.is_cuda()));
}

at::Tensor PinnedMemory::empty(at::IntArrayRef shape, at::ScalarType dtype) {
  const auto size = c10::multiply_integers(shape) * static_cast<int64_t>(c10::elementSize(dtype));
  const auto taken = (size + kAlignment - 1) / kAlignment * kAlignment;
  if (taken > kBlock) return bytes(size).view(dtype).view(shape);
  if (!block_.defined() || used_ + taken > kBlock) {
    block_ = bytes(kBlock);
    used_ = 0;
  }
  used_ += taken;
  return block_.narrow(0, used_ - taken, size).view(dtype).view(shape);
}

}  // namespace sightloop::core
