#ifdef SIGHTLOOP_CUDA
#define USE_C10D_NCCL
#endif
#include "collectives/nccl.h"

#include <ATen/ATen.h>

#include "collectives/backend_group.h"

#ifdef SIGHTLOOP_CUDA
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#else
#include <torch/csrc/distributed/c10d/Store.hpp>
#endif

namespace sightloop::collectives {

#ifdef SIGHTLOOP_CUDA
namespace {

// Calls return once the transfer is queued on the device, which orders it before what follows.
class Nccl final : public BackendGroup<ProcessGroup> {
 public:
  Nccl(c10::intrusive_ptr<c10d::Backend> backend, std::shared_ptr<ProcessGroup> host)
      : BackendGroup(std::move(backend)), host_(std::move(host)) {}

  using BackendGroup::sum;
  void sum(std::span<double> values) override { host_->sum(values); }
  void max(std::span<double> values) override { host_->max(values); }

 private:
  std::shared_ptr<ProcessGroup> host_;
};

}  // namespace

std::shared_ptr<ProcessGroup> connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                           std::shared_ptr<ProcessGroup> host, c10::Device device,
                                           std::chrono::milliseconds timeout) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, host->rank(), host->world_size(), options);
  backend->setBoundDeviceId(device);
  return std::make_shared<Nccl>(std::move(backend), std::move(host));
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
