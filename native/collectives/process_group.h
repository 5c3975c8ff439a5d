#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <vector>

namespace sightloop::collectives {

// The ranks that train together. Every rank makes the same calls in the same order; one process is the group of one, with
// the same interface. What a sum comes to does not depend on timing, only on the number of ranks.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Replaces each value by its sum, or maximum, over all ranks.
  virtual void sum(std::span<double> values) = 0;
  virtual void max(std::span<double> values) = 0;
  // Replaces each float32 tensor by its sum over all ranks. Shapes are the same on every rank.
  virtual void sum(const std::vector<at::Tensor>& tensors) = 0;
  // Waits for what was started; its tensors must not be touched before.
  using Wait = std::function<void()>;
  // all [world_size * n] float32 -> own [n]: the sum over ranks of the part that is this rank's.
  virtual Wait start_reduce_scatter(const at::Tensor& all, const at::Tensor& own) = 0;
  // own [n] -> all [world_size * n], by rank.
  virtual Wait start_all_gather(const at::Tensor& own, const at::Tensor& all) = 0;
  // Spent in every `Wait` so far.
  virtual double waited_seconds() const = 0;
  void all_gather(const at::Tensor& own, const at::Tensor& all) { start_all_gather(own, all)(); }
};

class SingleProcess final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  void sum(std::span<double> /*values*/) override {}
  void max(std::span<double> /*values*/) override {}
  void sum(const std::vector<at::Tensor>& /*tensors*/) override {}
  Wait start_reduce_scatter(const at::Tensor& all, const at::Tensor& own) override;
  Wait start_all_gather(const at::Tensor& own, const at::Tensor& all) override;
  double waited_seconds() const override { return 0; }
};

}  // namespace sightloop::collectives
