#define USE_C10D_GLOO
#include "collectives/gloo.h"

#include <ATen/ATen.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "collectives/backend_group.h"

namespace sightloop::collectives {
namespace {

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> gloo_options(const std::string& address,
                                                                 const std::string& interface,
                                                                 std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(interface.empty() ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                                               : c10d::ProcessGroupGloo::createDeviceForInterface(interface));
  return options;
}

class Gloo final : public BackendGroup<GlooGroup> {
 public:
  Gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
       const c10::intrusive_ptr<c10d::ProcessGroupGloo::Options>& options)
      : BackendGroup(c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world_size, options)) {}

  using BackendGroup::sum;
  void sum(std::span<double> values) override { reduce(values, c10d::ReduceOp::SUM); }
  void max(std::span<double> values) override { reduce(values, c10d::ReduceOp::MAX); }

  // c10d's own sums everything on every rank and keeps a part, which sends twice as much. Added in the order of ranks.
  Wait start_reduce_scatter(const at::Tensor& all, const at::Tensor& own) override {
    auto input = all, parts = at::empty_like(all);
    std::vector<int64_t> even;
    const auto arrived = wait_for(checked([&] { return backend().alltoall_base(parts, input, even, even); }));
    return [arrived, parts, own, ranks = world_size()] {
      arrived();
      auto sum = own;
      at::sum_out(sum, parts.view({ranks, -1}), 0);
    };
  }

  std::vector<at::Tensor> exchange(const at::Tensor& bytes) override {
    auto sizes = at::empty({world_size()}, at::kLong);
    all_gather(at::tensor({bytes.numel()}, at::kLong), sizes);
    const auto longest = std::max<int64_t>(1, sizes.max().item<int64_t>());
    auto padded = at::zeros({longest}, at::kByte);
    padded.narrow(0, 0, bytes.numel()).copy_(bytes);
    auto all = at::empty({world_size() * longest}, at::kByte);
    all_gather(padded, all);
    std::vector<at::Tensor> parts;
    for (int rank = 0; rank < world_size(); ++rank)
      parts.push_back(all.narrow(0, rank * longest, sizes[rank].item<int64_t>()).clone());
    return parts;
  }

 private:
  void reduce(std::span<double> values, c10d::ReduceOp::RedOpType what) {
    std::vector<at::Tensor> whole = {
        at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(at::kDouble))};
    c10d::AllreduceOptions options;
    options.reduceOp = what;
    checked([&] { return backend().allreduce(whole, options)->wait(); });
  }
};

}  // namespace

std::shared_ptr<GlooGroup> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                        const std::string& address, const std::string& interface,
                                        std::chrono::milliseconds timeout) {
  return std::make_shared<Gloo>(store, rank, world_size, gloo_options(address, interface, timeout));
}

}  // namespace sightloop::collectives
