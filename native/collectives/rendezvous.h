#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "collectives/process_group.h"

namespace sightloop::collectives {

// How the ranks find each other.
struct RendezvousOptions {
  int rank, world_size;
  std::string address;  // of rank 0, which listens there and nowhere else
  int port;
  // A launcher's own store listens at address and port (torchrun).
  bool store_is_launchers;
  // Tells one start of the ranks from the next where the store outlives them.
  std::string attempt;
  std::string interface;  // network interface of the collectives; empty: the one that reaches `address`
  std::chrono::milliseconds rendezvous_timeout, collective_timeout;
};

// All ranks of a run, met at one address. Two groups with connections of their own, so that what the engine reduces and what
// the processes tell each other never get into each other's way.
class Ranks {
 public:
  // Throws once a rank is missing after the timeout, was started twice, or was started with another number of ranks.
  explicit Ranks(const RendezvousOptions& options);
  ~Ranks();

  int rank() const;
  int world_size() const;
  // This host, as the others reach it.
  const std::string& local_address() const;

  // For tensors on `device`.
  std::shared_ptr<ProcessGroup> training(c10::Device device) const;
  //   bytes uint8 [n], n of each rank's own   returns every rank's, by rank
  std::vector<at::Tensor> exchange(const at::Tensor& bytes);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace sightloop::collectives
