#pragma once
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "collectives/process_group.h"

namespace sightloop::collectives {

// Starts the sum over ranks of a flat tensor, in place; returns what waits for it.
using StartSum = std::function<std::function<void()>(const at::Tensor& flat)>;

// Sums each tensor in place. Small ones travel together; all are under way before the first is waited for.
void sum_in_buckets(const std::vector<at::Tensor>& tensors, const StartSum& start);

// What every backend of c10d does alike. `Base`: ProcessGroup, or an interface that extends it.
template <typename Base>
class BackendGroup : public Base {
 public:
  explicit BackendGroup(c10::intrusive_ptr<c10d::Backend> backend) : backend_(std::move(backend)) {}

  int rank() const override { return backend_->getRank(); }
  int world_size() const override { return backend_->getSize(); }

  using Base::sum;
  void sum(const std::vector<at::Tensor>& tensors) override {
    sum_in_buckets(tensors, [this](const at::Tensor& flat) {
      std::vector<at::Tensor> whole = {flat};
      const auto work = checked([&] { return backend_->allreduce(whole); });
      return [this, work] { checked([&] { return work->wait(); }); };
    });
  }
  void reduce_scatter(const at::Tensor& all, at::Tensor& own) override {
    auto input = all;
    checked([&] { return backend_->_reduce_scatter_base(own, input)->wait(); });
  }
  void all_gather(const at::Tensor& own, at::Tensor& all) override {
    auto input = own;
    checked([&] { return backend_->_allgather_base(all, input)->wait(); });
  }

 protected:
  c10d::Backend& backend() { return *backend_; }

  // A lost connection is a failure of the run, not of this program.
  template <typename Call>
  auto checked(const Call& call) -> decltype(call()) {
    try {
      return call();
    } catch (const std::exception& error) {
      const std::string text = error.what();
      TORCH_CHECK(false, "rank ", rank(), " lost its connection to another rank: ", text.substr(0, text.find('\n')));
    }
  }

 private:
  c10::intrusive_ptr<c10d::Backend> backend_;
};

}  // namespace sightloop::collectives
