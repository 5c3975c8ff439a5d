#include "pipeline/update/block_shards.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/host_memory.h"

namespace sightloop::update {
namespace {

// A tensor's memory can be taken from under it: whoever shares its storage sees the same.
void take_memory(const at::Tensor& tensor) {
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, tensor.device()));
  storage->set_nbytes(0);
}

// From memory that outlives the use of the tensor.
void lend_memory(const at::Tensor& tensor, const at::Tensor& memory) {
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(memory.mutable_data_ptr(), tensor.device()));
  storage->set_nbytes(tensor.nbytes());
}

void give_memory(const at::Tensor& tensor) {
  const auto fresh = at::empty(tensor.sizes(), tensor.options().requires_grad(false));
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(
      fresh.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr(nullptr, tensor.device())));
  storage->set_nbytes(tensor.nbytes());
}

// Elements of a parameter in memory that several share: each begins where kernels may read whole vectors.
int64_t aligned(int64_t elements) { return (elements + 63) / 64 * 64; }

}  // namespace

BlockShards::BlockShards(models::Model& model, const Shards& shards) : model_(model), shards_(shards) {
  const at::NoGradGuard no_grad;
  const auto options = model.head().weight.options().requires_grad(false);
  int64_t width = 0, widest = 0, most = 0;
  for (const auto& [begin, end] : model.block_parameters()) {
    std::vector<core::Parameter*> parameters;
    int64_t elements = 0;
    for (auto i = begin; i < end; ++i) {
      parameters.push_back(&model.parameters().all()[i]);
      elements += aligned(parameters.back()->value.numel());
    }
    auto buckets = shards_.buckets(parameters, INT64_MAX);
    TORCH_INTERNAL_ASSERT(buckets.size() == 1, "a block's weights have one dtype");
    width += buckets[0].width;
    widest = std::max(widest, buckets[0].width);
    most = std::max(most, elements);
    blocks_.push_back({.bucket = std::move(buckets[0]), .own = {}});
  }
  on_its_way_ = blocks_.size();
  const auto own = at::zeros({width}, options);
  whole_ = at::empty({most}, options);
  arriving_ = at::empty({shards_.ranks().world_size() * widest}, options);
  int64_t begin = 0;
  for (auto& block : blocks_) {
    block.own = own.narrow(0, begin, block.bucket.width);
    begin += block.bucket.width;
    for (size_t i = 0; i < block.bucket.parameters.size(); ++i) {
      auto& parameter = *block.bucket.parameters[i];
      TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.value.storage_offset() == 0);
      const auto mine = shards_.piece(parameter);
      parameter.own_piece = block.own.narrow(0, block.bucket.places[i], mine.size);
      parameter.own_piece.copy_(mine.of(parameter.value.view({-1})));
      take_memory(parameter.value);
    }
  }
  if (model_.device().is_cpu()) core::return_freed_memory();
  model_.set_block_weights(this);
}

void BlockShards::send(size_t block) {
  const auto& own = blocks_[block].own;
  wait_ = shards_.ranks().start_all_gather(own, arriving_.narrow(0, 0, shards_.ranks().world_size() * own.numel()));
  on_its_way_ = block;
}

void BlockShards::receive(size_t block) {
  const at::NoGradGuard no_grad;
  if (on_its_way_ != block) send(block);
  wait_();
  on_its_way_ = blocks_.size();
  const auto& bucket = blocks_[block].bucket;
  for (size_t i = 0; i < bucket.parameters.size(); ++i)
    shards_.each_piece(bucket, i, arriving_, bucket.parameters[i]->value.view({-1}),
                       [](const at::Tensor& gathered, const at::Tensor& place) { place.copy_(gathered); });
}

void BlockShards::hold(int64_t index, Direction direction) {
  const auto block = static_cast<size_t>(index);
  int64_t begin = 0;
  for (const auto* parameter : blocks_.at(block).bucket.parameters) {
    const auto elements = parameter->value.numel();
    lend_memory(parameter->value, whole_.narrow(0, begin, elements));
    begin += aligned(elements);
  }
  receive(block);
  const auto next = index + (direction == Direction::forward ? 1 : -1);
  if (next >= 0 && next < static_cast<int64_t>(blocks_.size())) send(static_cast<size_t>(next));
}

void BlockShards::let_go(int64_t block) {
  for (const auto* parameter : blocks_[static_cast<size_t>(block)].bucket.parameters) take_memory(parameter->value);
}

void BlockShards::gather() {
  whole_ = at::Tensor();
  for (size_t block = 0; block < blocks_.size(); ++block) {
    for (const auto* parameter : blocks_[block].bucket.parameters) give_memory(parameter->value);
    receive(block);
  }
  for (auto& block : blocks_)
    for (auto* parameter : block.bucket.parameters) parameter->own_piece = at::Tensor();
}

}  // namespace sightloop::update
