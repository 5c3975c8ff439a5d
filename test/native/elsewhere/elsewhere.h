#pragma once
#include <ATen/ATen.h>

// A device that is not the host, for tests on machines without one: its tensors lie in the host's memory, but every op takes
// them for tensors of another device, and refuses to mix them with the host's as CUDA does (a number excepted). Runs what our
// code does on devices without kernels of their own, and finds what was left on the wrong side.
namespace sightloop::elsewhere {

inline const c10::Device kDevice{c10::DeviceType::PrivateUse1, 0};

// Ops that ran there so far.
int64_t calls();

}  // namespace sightloop::elsewhere
