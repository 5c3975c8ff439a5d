#include "pipeline/update/block_shards.h"

#include <ATen/ATen.h>

#include <utility>

namespace sightloop::update {
namespace {

// A tensor's memory can be taken from under it: whoever shares its storage sees the same.
void take_memory(const at::Tensor& tensor) {
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, tensor.device()));
  storage->set_nbytes(0);
}

void give_memory(const at::Tensor& tensor) {
  const auto fresh = at::empty(tensor.sizes(), tensor.options().requires_grad(false));
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(
      fresh.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr(nullptr, tensor.device())));
  storage->set_nbytes(tensor.nbytes());
}

}  // namespace

BlockShards::BlockShards(models::Model& model, const Shards& shards) : model_(model), shards_(shards) {
  const at::NoGradGuard no_grad;
  for (const auto& [begin, end] : model.block_parameters()) {
    std::vector<core::Parameter*> parameters;
    for (auto i = begin; i < end; ++i) parameters.push_back(&model.parameters().all()[i]);
    auto buckets = shards_.buckets(parameters, INT64_MAX);
    TORCH_INTERNAL_ASSERT(buckets.size() == 1, "a block's weights have one dtype");
    auto& [bucket, own, all, wait] = blocks_.emplace_back();
    bucket = std::move(buckets[0]);
    own = at::zeros({bucket.width}, parameters[0]->value.options().requires_grad(false));
    for (size_t i = 0; i < parameters.size(); ++i) {
      auto& parameter = *parameters[i];
      TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.value.storage_offset() == 0);
      const auto mine = shards_.piece(parameter);
      parameter.own_piece = own.narrow(0, bucket.places[i], mine.size);
      parameter.own_piece.copy_(mine.of(parameter.value.view({-1})));
      take_memory(parameter.value);
    }
  }
  model_.set_block_weights(this);
}

void BlockShards::send(Block& block) {
  if (block.all.defined()) return;
  block.all = at::empty({shards_.ranks().world_size() * block.bucket.width}, block.own.options());
  block.wait = shards_.ranks().start_all_gather(block.own, block.all);
}

void BlockShards::receive(Block& block) {
  const at::NoGradGuard no_grad;
  block.wait();
  for (size_t i = 0; i < block.bucket.parameters.size(); ++i) {
    const auto& value = block.bucket.parameters[i]->value;
    give_memory(value);
    shards_.each_piece(block.bucket, i, block.all, value.view({-1}),
                       [](const at::Tensor& gathered, const at::Tensor& place) { place.copy_(gathered); });
  }
  block.all = at::Tensor();
}

void BlockShards::hold(int64_t block, Direction direction) {
  send(blocks_.at(static_cast<size_t>(block)));
  const auto next = block + (direction == Direction::forward ? 1 : -1);
  receive(blocks_[static_cast<size_t>(block)]);
  if (next >= 0 && next < static_cast<int64_t>(blocks_.size())) send(blocks_[static_cast<size_t>(next)]);
}

void BlockShards::let_go(int64_t block) {
  for (const auto* parameter : blocks_[static_cast<size_t>(block)].bucket.parameters) take_memory(parameter->value);
}

void BlockShards::gather() {
  for (auto& block : blocks_) {
    send(block);
    receive(block);
    for (auto* parameter : block.bucket.parameters) parameter->own_piece = at::Tensor();
  }
  blocks_.clear();
}

}  // namespace sightloop::update
