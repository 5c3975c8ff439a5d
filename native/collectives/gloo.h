#pragma once
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "collectives/process_group.h"

namespace c10d {
class Store;
}

namespace sightloop::collectives {

// A group over Gloo: TCP between CPUs.
class GlooGroup : public ProcessGroup {
 public:
  // bytes uint8 [n], n of each rank's own -> every rank's, by rank.
  virtual std::vector<at::Tensor> exchange(const at::Tensor& bytes) = 0;
};

//   address, interface: what the connections of this rank are made from; the interface, if one is named, comes first
std::shared_ptr<GlooGroup> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                        const std::string& address, const std::string& interface,
                                        std::chrono::milliseconds timeout);

}  // namespace sightloop::collectives
