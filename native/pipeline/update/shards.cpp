#include "pipeline/update/shards.h"

#include <ATen/ATen.h>

namespace sightloop::update {
namespace {

constexpr int64_t kGatheredTogether = int64_t{1} << 24;

int64_t divided_up(int64_t elements, int parts) { return (elements + parts - 1) / parts; }

}  // namespace

Piece Shards::piece_of(int64_t elements, int rank) const {
  if (!sharded_) return {.begin = 0, .size = elements};
  const auto size = divided_up(elements, ranks_->world_size()), begin = std::min(rank * size, elements);
  return {.begin = begin, .size = std::min(size, elements - begin)};
}

std::vector<Bucket> Shards::buckets(std::span<core::Parameter* const> parameters, int64_t elements) const {
  std::vector<Bucket> buckets;
  int64_t held = 0;
  for (auto* parameter : parameters) {
    const auto count = parameter->value.numel();
    const bool fits = !buckets.empty() && held + count <= elements &&
                      buckets.back().parameters[0]->value.scalar_type() == parameter->value.scalar_type();
    if (!fits) {
      buckets.emplace_back();
      held = 0;
    }
    auto& bucket = buckets.back();
    bucket.parameters.push_back(parameter);
    bucket.places.push_back(bucket.width);
    bucket.width += divided_up(count, ranks_->world_size());
    held += count;
  }
  return buckets;
}

void Shards::gather(std::span<core::Parameter* const> parameters) const {
  if (!sharded_) return;
  const at::NoGradGuard no_grad;
  for (const auto& bucket : buckets(parameters, kGatheredTogether)) {
    const auto options = bucket.parameters[0]->value.options().requires_grad(false);
    const auto all = at::empty({ranks_->world_size() * bucket.width}, options),
               own = at::zeros({bucket.width}, options);
    for (size_t i = 0; i < bucket.parameters.size(); ++i) {
      const auto mine = piece(*bucket.parameters[i]);
      own.narrow(0, bucket.places[i], mine.size).copy_(mine.of(bucket.parameters[i]->value.view({-1})));
    }
    ranks_->all_gather(own, all);
    for (size_t i = 0; i < bucket.parameters.size(); ++i)
      each_piece(bucket, i, all, bucket.parameters[i]->value.view({-1}),
                 [](const at::Tensor& gathered, const at::Tensor& place) { place.copy_(gathered); });
  }
}

}  // namespace sightloop::update
