#define USE_C10D_GLOO
#include "collectives/gloo.h"

#include <ATen/ATen.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace sightloop::collectives {
namespace {

// Tensors below this many elements travel together.
constexpr int64_t kBucketElements = int64_t{1} << 20;

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> gloo_options(const std::string& address,
                                                                 const std::string& interface,
                                                                 std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(interface.empty() ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                                               : c10d::ProcessGroupGloo::createDeviceForInterface(interface));
  return options;
}

class Gloo final : public GlooGroup {
 public:
  Gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
       const c10::intrusive_ptr<c10d::ProcessGroupGloo::Options>& options)
      : group_(c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world_size, options)) {}

  int rank() const override { return group_->getRank(); }
  int world_size() const override { return group_->getSize(); }

  void sum(std::span<double> values) override { reduce(values, c10d::ReduceOp::SUM); }
  void max(std::span<double> values) override { reduce(values, c10d::ReduceOp::MAX); }

  void sum(const std::vector<at::Tensor>& tensors) override {
    const at::NoGradGuard no_grad;
    std::vector<Bucket> buckets;
    for (const auto& tensor : tensors) {
      const bool alone = tensor.numel() >= kBucketElements && tensor.is_contiguous();
      if (alone || buckets.empty() || buckets.back().elements >= kBucketElements) buckets.emplace_back();
      buckets.back().add(tensor);
      if (alone) buckets.back().elements = kBucketElements;  // closed
    }
    std::vector<c10::intrusive_ptr<c10d::Work>> under_way;
    for (auto& bucket : buckets) {
      std::vector<at::Tensor> whole = {bucket.flat()};
      under_way.push_back(checked([&] { return group_->allreduce(whole); }));
    }
    for (size_t i = 0; i < buckets.size(); ++i) {
      checked([&] { return under_way[i]->wait(); });
      buckets[i].give_back();
    }
  }

  void reduce_scatter(const at::Tensor& all, at::Tensor& own) override {
    auto input = all;
    checked([&] { return group_->_reduce_scatter_base(own, input)->wait(); });
  }

  void all_gather(const at::Tensor& own, at::Tensor& all) override {
    auto input = own;
    checked([&] { return group_->_allgather_base(all, input)->wait(); });
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
  struct Bucket {
    std::vector<at::Tensor> tensors;
    int64_t elements = 0;
    at::Tensor together;

    void add(const at::Tensor& tensor) {
      tensors.push_back(tensor);
      elements += tensor.numel();
    }
    at::Tensor flat() {
      if (tensors.size() == 1 && tensors[0].is_contiguous()) return tensors[0].view({-1});
      std::vector<at::Tensor> parts;
      for (const auto& tensor : tensors) parts.push_back(tensor.reshape({-1}));
      return together = at::cat(parts);
    }
    void give_back() {
      if (!together.defined()) return;
      int64_t begin = 0;
      for (auto& tensor : tensors) {
        tensor.copy_(together.narrow(0, begin, tensor.numel()).view(tensor.sizes()));
        begin += tensor.numel();
      }
    }
  };

  void reduce(std::span<double> values, c10d::ReduceOp::RedOpType what) {
    std::vector<at::Tensor> whole = {
        at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(at::kDouble))};
    c10d::AllreduceOptions options;
    options.reduceOp = what;
    checked([&] { return group_->allreduce(whole, options)->wait(); });
  }

  // A lost connection is a failure of the run, not of this program.
  template <typename Call>
  auto checked(const Call& call) -> decltype(call()) {
    try {
      return call();
    } catch (const std::exception& error) {
      TORCH_CHECK(false, "rank ", rank(), " lost its connection to another rank: ", first_line(error.what()));
    }
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

std::shared_ptr<GlooGroup> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                        const std::string& address, const std::string& interface,
                                        std::chrono::milliseconds timeout) {
  return std::make_shared<Gloo>(store, rank, world_size, gloo_options(address, interface, timeout));
}

}  // namespace sightloop::collectives
