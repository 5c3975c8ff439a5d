#include "core/pinned_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>

namespace sightloop::core {
namespace {

constexpr int64_t kBlock = int64_t{1} << 30, kAlignment = 256;

}  // namespace

at::Tensor PinnedMemory::bytes(int64_t count) const {
  return at::empty({count}, at::device(at::kCPU).dtype(at::kByte).pinned_memory(device_.is_cuda()));
}

at::Tensor PinnedMemory::empty(at::IntArrayRef shape, at::ScalarType dtype) {
  const auto size = c10::multiply_integers(shape) * static_cast<int64_t>(c10::elementSize(dtype));
  const auto taken = (size + kAlignment - 1) / kAlignment * kAlignment;
  if (!block_.defined() || used_ + taken > block_.numel()) {
    block_ = bytes(std::max(kBlock, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(taken)))));
    used_ = 0;
  }
  used_ += taken;
  return block_.narrow(0, used_ - taken, size).view(dtype).view(shape);
}

}  // namespace sightloop::core
