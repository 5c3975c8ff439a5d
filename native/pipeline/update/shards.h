#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "collectives/process_group.h"
#include "core/parameter.h"

namespace sightloop::update {

// Elements [begin, begin + size) of a parameter laid flat.
struct Piece {
  int64_t begin, size;
  // Of a flat tensor with all elements.
  at::Tensor of(const at::Tensor& flat) const { return flat.narrow(0, begin, size); }
};

// Parameters that travel together. Laid flat by rank, then by parameter, with equal pieces: [world_size][width]; a parameter's
// lie at its place of each rank's part.
struct Bucket {
  std::vector<core::Parameter*> parameters;
  std::vector<int64_t> places;
  int64_t width = 0;
};

// Who steps what: every rank a piece of each trained parameter, so that moments, masters and summed gradients are held once
// over all ranks (arXiv:1910.02054, stage 2); or every rank all of it.
class Shards {
 public:
  Shards(collectives::ProcessGroup& ranks, bool sharded)
      : ranks_(&ranks), sharded_(sharded && ranks.world_size() > 1) {}

  collectives::ProcessGroup& ranks() const { return *ranks_; }
  bool sharded() const { return sharded_; }
  Piece piece(const core::Parameter& parameter) const { return piece_of(parameter.value.numel(), ranks_->rank()); }
  Piece piece_of(int64_t elements, int rank) const;

  // In order; up to `elements` together, a larger parameter alone. Of one dtype each.
  std::vector<Bucket> buckets(std::span<core::Parameter* const> parameters, int64_t elements) const;
  // Visits the pieces of one member of a bucket in that bucket laid flat, and the same of `whole`, a flat tensor of its size.
  template <typename Visit>
  void each_piece(const Bucket& bucket, size_t member, const at::Tensor& laid_flat, const at::Tensor& whole,
                  const Visit& visit) const {
    for (int rank = 0; rank < ranks_->world_size(); ++rank) {
      const auto piece = piece_of(whole.numel(), rank);
      visit(laid_flat.narrow(0, rank * bucket.width + bucket.places[member], piece.size), piece.of(whole));
    }
  }
  // Every rank has stepped its piece of these values: makes them whole on all.
  void gather(std::span<core::Parameter* const> parameters) const;

 private:
  collectives::ProcessGroup* ranks_;
  bool sharded_;
};

}  // namespace sightloop::update
