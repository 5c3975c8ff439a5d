#include "pipeline/update/shards.h"

#include <ATen/ATen.h>

namespace sightloop::update {
namespace {

// Parameters up to so many elements together travel at once; a larger one alone.
constexpr int64_t kBucketElements = int64_t{1} << 24;

at::Tensor flat(const at::Tensor& tensor) { return tensor.contiguous().view({-1}); }

}  // namespace

Piece Shards::piece_of(int64_t elements, int rank) const {
  if (!sharded_) return {.begin = 0, .size = elements};
  const auto size = piece_elements(elements), begin = std::min(rank * size, elements);
  return {.begin = begin, .size = std::min(size, elements - begin)};
}

// A bucket lies by rank, then by parameter: [world_size][sum of piece_elements].
template <typename Visit>
void Shards::each_bucket(const std::vector<core::Parameter*>& parameters, const Visit& visit) const {
  for (size_t begin = 0, end = 0; begin < parameters.size(); begin = end) {
    int64_t elements = 0, width = 0;
    std::vector<int64_t> places;
    for (; end < parameters.size() && (end == begin || elements + parameters[end]->value.numel() <= kBucketElements);
         ++end) {
      places.push_back(width);
      elements += parameters[end]->value.numel();
      width += piece_elements(parameters[end]->value.numel());
    }
    visit(std::span(parameters).subspan(begin, end - begin), places, width);
  }
}

std::vector<at::Tensor> Shards::reduce(const std::vector<core::Parameter*>& parameters, Gradient gradient) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> pieces;
  if (!sharded_) {
    for (const auto* parameter : parameters) pieces.push_back(flat((parameter->*gradient)()));
    ranks_.sum(pieces);
    return pieces;
  }
  each_bucket(parameters, [&](std::span<core::Parameter* const> bucket, const auto& places, int64_t width) {
    const auto options = bucket.front()->value.options().dtype(at::kFloat).requires_grad(false);
    auto all = at::zeros({ranks_.world_size() * width}, options), own = at::empty({width}, options);
    for (size_t i = 0; i < bucket.size(); ++i) {
      if (!(bucket[i]->*gradient)().defined()) continue;  // zeros: another rank's reached it
      const auto own_gradient = flat((bucket[i]->*gradient)());
      for (int rank = 0; rank < ranks_.world_size(); ++rank) {
        const auto piece = piece_of(own_gradient.numel(), rank);
        all.narrow(0, rank * width + places[i], piece.size).copy_(piece.of(own_gradient));
      }
      bucket[i]->clear_gradient();
    }
    ranks_.reduce_scatter(all, own);
    for (size_t i = 0; i < bucket.size(); ++i) pieces.push_back(own.narrow(0, places[i], piece(*bucket[i]).size));
  });
  return pieces;
}

void Shards::gather(const std::vector<core::Parameter*>& parameters) const {
  if (!sharded_ || parameters.empty()) return;
  const at::NoGradGuard no_grad;
  each_bucket(parameters, [&](std::span<core::Parameter* const> bucket, const auto& places, int64_t width) {
    const auto options = bucket.front()->value.options().requires_grad(false);
    auto all = at::empty({ranks_.world_size() * width}, options), own = at::zeros({width}, options);
    for (size_t i = 0; i < bucket.size(); ++i) {
      const auto piece = this->piece(*bucket[i]);
      own.narrow(0, places[i], piece.size).copy_(piece.of(bucket[i]->value.view({-1})));
    }
    ranks_.all_gather(own, all);
    for (size_t i = 0; i < bucket.size(); ++i) {
      const auto value = bucket[i]->value.view({-1});
      for (int rank = 0; rank < ranks_.world_size(); ++rank) {
        const auto piece = piece_of(value.numel(), rank);
        piece.of(value).copy_(all.narrow(0, rank * width + places[i], piece.size));
      }
    }
  });
}

}  // namespace sightloop::update
