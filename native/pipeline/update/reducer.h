#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/parameter.h"
#include "pipeline/update/shards.h"

namespace sightloop::update {

// A parameter's gradient: of the minibatch, or of one microbatch. Undefined for none.
using GradientOf = const at::Tensor& (core::Parameter::*)() const;

// Sums gradients over ranks. Where ranks share, a bucket of them is on its way as soon as the backward pass that `begin` announced
// has made them whole, and the pass goes on meanwhile; buckets leave in one order on every rank.
class GradientReducer {
 public:
  //   bucket_elements: up to so many of a gradient travel together
  GradientReducer(core::ParameterRegistry& registry, const Shards& shards, int64_t bucket_elements);

  // What a failed pass has left is forgotten.
  void reset();
  // The next backward pass makes the gradients whole.   empty_pass: it adds zeros, only to take part
  void begin(GradientOf gradient, bool empty_pass);
  // Sends what has not left yet and waits for all: this rank's piece of each trained parameter's sum, flat and float32, in
  // order; undefined where no rank's batch has reached the parameter. Where ranks share, the gradients themselves are freed.
  std::vector<at::Tensor> finish(GradientOf gradient);
  // Leaves the sums on the parameters that a gradient has reached on some rank, whole on every one.
  void sum_whole(GradientOf gradient) const;

 private:
  struct Transfer {
    Bucket bucket;
    std::vector<size_t> members;  // places in parameters_
    size_t missing = 0;           // gradients that are not whole yet
    at::Tensor all, own;
    collectives::ProcessGroup::Wait wait;
  };
  void gradient_is_whole(size_t index);
  void send(Transfer& transfer);
  std::vector<core::Parameter*> reached(GradientOf gradient) const;

  Shards shards_;
  std::vector<core::Parameter*> parameters_;  // the trained ones, in the order of the registry
  std::vector<Transfer> transfers_;           // in the order in which they leave
  std::vector<size_t> transfer_of_;           // by place in the registry
  std::vector<double> has_gradient_;          // by place in parameters_, on this rank
  GradientOf gradient_ = nullptr;             // begun
  bool empty_pass_ = false;
  size_t next_ = 0;  // transfer to leave
};

}  // namespace sightloop::update
