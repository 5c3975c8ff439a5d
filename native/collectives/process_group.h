#pragma once
#include <span>

namespace sightloop::collectives {

// The ranks that train together. One process is the group of one, with the same interface.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // Replaces each value by its sum over all ranks; every rank must call in the same order.
  virtual void sum(std::span<double> values) = 0;
};

class SingleProcess final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  void sum(std::span<double> /*values*/) override {}
};

}  // namespace sightloop::collectives
