#ifdef SIGHTLOOP_CUDA
#define USE_C10D_NCCL
#endif
#include "collectives/nccl.h"

#include <ATen/ATen.h>

#include "collectives/buckets.h"

#ifdef SIGHTLOOP_CUDA
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#else
#include <torch/csrc/distributed/c10d/Store.hpp>
#endif

namespace sightloop::collectives {

#ifdef SIGHTLOOP_CUDA
namespace {

// Calls return once the transfer is queued on the device, which orders it before what follows.
class Nccl final : public ProcessGroup {
 public:
  Nccl(const c10::intrusive_ptr<c10d::Store>& store, std::shared_ptr<ProcessGroup> host, c10::Device device,
       const c10::intrusive_ptr<c10d::ProcessGroupNCCL::Options>& options)
      : host_(std::move(host)),
        group_(c10::make_intrusive<c10d::ProcessGroupNCCL>(store, host_->rank(), host_->world_size(), options)) {
    group_->setBoundDeviceId(device);
  }

  int rank() const override { return host_->rank(); }
  int world_size() const override { return host_->world_size(); }
  void sum(std::span<double> values) override { host_->sum(values); }
  void max(std::span<double> values) override { host_->max(values); }

  void sum(const std::vector<at::Tensor>& tensors) override {
    sum_in_buckets(tensors, [this](const at::Tensor& flat) {
      std::vector<at::Tensor> whole = {flat};
      const auto work = checked([&] { return group_->allreduce(whole); });
      return [this, work] { checked([&] { return work->wait(); }); };
    });
  }
  void reduce_scatter(const at::Tensor& all, at::Tensor& own) override {
    auto input = all;
    checked([&] { return group_->_reduce_scatter_base(own, input)->wait(); });
  }
  void all_gather(const at::Tensor& own, at::Tensor& all) override {
    auto input = own;
    checked([&] { return group_->_allgather_base(all, input)->wait(); });
  }

 private:
  template <typename Call>
  auto checked(const Call& call) -> decltype(call()) {
    return connected(rank(), call);
  }

  std::shared_ptr<ProcessGroup> host_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};

}  // namespace

std::shared_ptr<ProcessGroup> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                           std::shared_ptr<ProcessGroup> host, c10::Device device,
                                           std::chrono::milliseconds timeout) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return std::make_shared<Nccl>(store, std::move(host), device, options);
}

#else

std::shared_ptr<ProcessGroup> connect_nccl(const c10::intrusive_ptr<c10d::Store>& /*store*/,
                                           std::shared_ptr<ProcessGroup> /*host*/, c10::Device device,
                                           std::chrono::milliseconds /*timeout*/) {
  TORCH_CHECK(false, "this build has no CUDA, so that ranks cannot meet on ", device.str(),
              ". Build with `npm run build -- --cuda`.");
}

#endif

}  // namespace sightloop::collectives
