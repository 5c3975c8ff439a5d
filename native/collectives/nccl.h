#pragma once
#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <memory>

#include "collectives/process_group.h"

namespace c10d {
class Store;
}

namespace sightloop::collectives {

// A group over NCCL for tensors on `device`, one rank a device; numbers of the host go over `host`. Throws in a build without
// CUDA.
std::shared_ptr<ProcessGroup> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                           std::shared_ptr<ProcessGroup> host, c10::Device device,
                                           std::chrono::milliseconds timeout);

}  // namespace sightloop::collectives
