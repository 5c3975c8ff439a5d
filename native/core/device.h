#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace sightloop::core {

// Bytes of a CUDA device's memory that nothing holds, the allocator's own reserve included; nothing for other devices.
std::optional<int64_t> free_device_bytes(c10::Device device);
// Bytes that tensors hold there, and the most they have held; nothing for other devices.
struct DeviceUse {
  int64_t bytes = 0, peak_bytes = 0;
};
std::optional<DeviceUse> device_use(c10::Device device);
// CUDA devices that this build can use; 0 for a build without CUDA.
int cuda_devices();
// Kernels of this thread run on `device` from now on; nothing to do for the CPU.
void use_device(c10::Device device);
// Returns once all that was queued on `device` has run; at once for the CPU.
void wait_for(c10::Device device);

}  // namespace sightloop::core
