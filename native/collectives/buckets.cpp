#include <ATen/ATen.h>

#include "collectives/backend_group.h"

namespace sightloop::collectives {
namespace {

constexpr int64_t kBucketElements = int64_t{1} << 20;  // a tensor with so many travels alone

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

}  // namespace

void sum_in_buckets(const std::vector<at::Tensor>& tensors, const StartSum& start) {
  const at::NoGradGuard no_grad;
  std::vector<Bucket> buckets;
  for (const auto& tensor : tensors) {
    const bool alone = tensor.numel() >= kBucketElements && tensor.is_contiguous();
    if (alone || buckets.empty() || buckets.back().elements >= kBucketElements) buckets.emplace_back();
    buckets.back().add(tensor);
    if (alone) buckets.back().elements = kBucketElements;  // closed
  }
  std::vector<ProcessGroup::Wait> waits;
  for (auto& bucket : buckets) waits.push_back(start(bucket.flat()));
  for (size_t i = 0; i < buckets.size(); ++i) {
    waits[i]();
    buckets[i].give_back();
  }
}

}  // namespace sightloop::collectives
