#pragma once
#include <ATen/core/Tensor.h>

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

// Who steps what: every rank a piece of each trained parameter, so that moments, masters and summed gradients are held once
// over all ranks (arXiv:1910.02054, stage 2); or every rank all of it.
class Shards {
 public:
  Shards(collectives::ProcessGroup& ranks, bool sharded) : ranks_(ranks), sharded_(sharded && ranks.world_size() > 1) {}

  collectives::ProcessGroup& ranks() const { return ranks_; }
  bool sharded() const { return sharded_; }
  Piece piece(const core::Parameter& parameter) const { return piece_of(parameter.value.numel(), ranks_.rank()); }

  // A parameter's gradient: of the minibatch, or of one microbatch. Undefined for none.
  using Gradient = const at::Tensor& (core::Parameter::*)() const;
  // The sum over ranks of this rank's piece of every gradient, flat and float32. Where ranks share, the gradients themselves are
  // freed.
  std::vector<at::Tensor> reduce(const std::vector<core::Parameter*>& parameters, Gradient gradient) const;
  // Every rank has stepped its piece of these values: makes them whole on all.
  void gather(const std::vector<core::Parameter*>& parameters) const;

 private:
  Piece piece_of(int64_t elements, int rank) const;
  int64_t piece_elements(int64_t elements) const { return (elements + ranks_.world_size() - 1) / ranks_.world_size(); }
  template <typename Visit>
  void each_bucket(const std::vector<core::Parameter*>& parameters, const Visit& visit) const;

  collectives::ProcessGroup& ranks_;
  bool sharded_;
};

}  // namespace sightloop::update
