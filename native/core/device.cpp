#include "core/device.h"

#ifdef SIGHTLOOP_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#endif

namespace sightloop::core {

#ifdef SIGHTLOOP_CUDA
namespace {

constexpr size_t kAll = 0;  // of the allocator's kinds of memory: all together

c10::CachingDeviceAllocator::DeviceStats stats(c10::Device device) {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
}

}  // namespace

std::optional<int64_t> free_device_bytes(c10::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  const c10::cuda::CUDAGuard guard(device);
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const auto held = stats(device);
  return static_cast<int64_t>(free) + held.reserved_bytes[kAll].current - held.allocated_bytes[kAll].current;
}

std::optional<DeviceUse> device_use(c10::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  const auto allocated = stats(device).allocated_bytes[kAll];
  return DeviceUse{.bytes = allocated.current, .peak_bytes = allocated.peak};
}

int cuda_devices() { return c10::cuda::device_count(); }

void use_device(c10::Device device) {
  if (device.is_cuda()) c10::cuda::set_device(device.index());
}

void wait_for(c10::Device device) {
  if (!device.is_cuda()) return;
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::device_synchronize();
}

#else

std::optional<int64_t> free_device_bytes(c10::Device /*device*/) { return std::nullopt; }
std::optional<DeviceUse> device_use(c10::Device /*device*/) { return std::nullopt; }
int cuda_devices() { return 0; }
void use_device(c10::Device /*device*/) {}
void wait_for(c10::Device /*device*/) {}

#endif

}  // namespace sightloop::core
