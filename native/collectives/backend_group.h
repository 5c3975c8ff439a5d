#pragma once
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "collectives/process_group.h"
#include "core/timings.h"

namespace sightloop::collectives {

// Starts the sum over ranks of a flat tensor, in place.
using StartSum = std::function<ProcessGroup::Wait(const at::Tensor& flat)>;

// Sums each tensor in place. Small ones travel together; all are under way before the first is waited for.
void sum_in_buckets(const std::vector<at::Tensor>& tensors, const StartSum& start);

// What every backend of c10d does alike. `Base`: ProcessGroup, or an interface that extends it.
template <typename Base>
class BackendGroup : public Base {
 public:
  explicit BackendGroup(c10::intrusive_ptr<c10d::Backend> backend) : backend_(std::move(backend)) {}

  int rank() const override { return backend_->getRank(); }
  int world_size() const override { return backend_->getSize(); }

  double waited_seconds() const override { return waited_seconds_; }

  using Base::sum;
  void sum(const std::vector<at::Tensor>& tensors) override {
    sum_in_buckets(tensors, [this](const at::Tensor& flat) {
      std::vector<at::Tensor> whole = {flat};
      return wait_for(checked([&] { return backend_->allreduce(whole); }));
    });
  }
  ProcessGroup::Wait start_reduce_scatter(const at::Tensor& all, const at::Tensor& own) override {
    auto input = all, output = own;
    return wait_for(checked([&] { return backend_->_reduce_scatter_base(output, input); }));
  }
  ProcessGroup::Wait start_all_gather(const at::Tensor& own, const at::Tensor& all) override {
    auto input = own, output = all;
    return wait_for(checked([&] { return backend_->_allgather_base(output, input); }));
  }

 protected:
  c10d::Backend& backend() { return *backend_; }

  ProcessGroup::Wait wait_for(c10::intrusive_ptr<c10d::Work> work) {
    return [this, work = std::move(work)] {
      core::Stopwatch watch;
      checked([&] { return work->wait(); });
      waited_seconds_ += watch.lap();
    };
  }

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
  double waited_seconds_ = 0;
};

}  // namespace sightloop::collectives
