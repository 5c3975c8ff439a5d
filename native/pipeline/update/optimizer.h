#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "core/parameter.h"
#include "pipeline/update/reducer.h"
#include "pipeline/update/shards.h"

namespace sightloop::update {

// AdamW with decoupled weight decay (arXiv:1711.05101 algorithm 2) on every trainable parameter, in float32, and its
// schedule.
struct OptimizerOptions {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  double max_grad_norm;  // <= 0: no clipping
  std::string schedule;  // constant | linear | cosine
  int64_t warmup_steps, total_steps;
  double min_learning_rate_ratio;
  bool offload =
      false;  // moments and float32 masters stay in host memory and are stepped there; not for weights on the host
};

// Learning rate of optimizer step `step` (from 0): linear up to the full rate at the end of warm-up, then constant,
// linear or half a cosine down to min_learning_rate_ratio at total_steps.
double learning_rate(const OptimizerOptions& options, int64_t step);

// Every rank holds the moments, float32 masters and summed gradients of its pieces.
class Optimizer {
 public:
  //   bucket_elements: of gradients that travel between ranks together
  Optimizer(core::ParameterRegistry& registry, OptimizerOptions options, const Shards& shards, int64_t bucket_elements);

  // Whether each microbatch's gradients are reduced at once, so that no rank holds the sum of whole ones: where ranks share a
  // model that is narrower than float32. Every rank then reduces equally often.
  bool reduces_microbatches() const;
  // Before the backward pass that makes the gradients whole: they may leave while it runs.   empty_pass: it adds zeros, only to
  // take part
  void begin_reduction(bool empty_pass) { reducer_.begin(reduced_gradient(), empty_pass); }
  void reduce_microbatch();
  // Makes the gradients of a minibatch those of all ranks. What nothing reached on any rank stays without one.
  void reduce_gradients();
  // The same, whole on every rank, left on the parameters: to look at, not to step with.
  void reduce_whole_gradients() { reducer_.sum_whole(&core::Parameter::gradient); }
  void clear_gradients();
  // L2 over all reduced gradients, before clipping.
  double grad_norm() const;
  // Checkpoint names of the tensors whose reduced gradient holds NaN or infinity.
  std::vector<std::string> non_finite_gradients() const;
  // Clips by `grad_norm` (finite), steps, clears the gradients and advances the schedule. Returns the learning rate used.
  double step(double grad_norm);
  // Advances the schedule without touching weights: a minibatch without anything to learn from.
  double pass() { return learning_rate(options_, steps_++); }
  // The same for a minibatch that must not be learned from.
  double skip() { return ++consecutive_skips_, pass(); }

  int64_t steps() const { return steps_; }
  // Skips since the last step.
  int64_t consecutive_skips() const { return consecutive_skips_; }
  int64_t bytes() const;
  // Whether this rank holds its pieces only.
  bool sharded() const { return shards_.sharded(); }

  // By checkpoint name: moments "exp_avg/<name>", "exp_avg_sq/<name>", float32 weights "master/<name>" of a narrower
  // model, update counts "step/<name>". Of a tensor that this rank holds in part, "<entry>@<first element>", flat. `restore`
  // takes what `state` of any number of ranks gave, together, and puts the masters of a narrower model into float32 weights.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void restore(const std::map<std::string, at::Tensor>& state, int64_t steps, int64_t consecutive_skips,
               const std::stop_token& stop);

 private:
  // What this rank holds of one trained parameter, flat.
  struct Held {
    core::Parameter* parameter;
    Piece piece;
    at::Device home;                           // of moments and master
    at::Tensor gradient = {};                  // reduced; undefined for none
    at::Tensor exp_avg = {}, exp_avg_sq = {};  // undefined until the first step
    at::Tensor master = {};  // only where the parameter is narrower than float32, and once it has been stepped
    int64_t updates = 0;     // bias correction counts the steps that moved it

    bool narrow() const { return parameter->value.scalar_type() != at::kFloat; }
    // What is stepped: `master`, made from the value if need be, or the value's own piece.
    at::Tensor stepped();
    at::Tensor own() const;  // the value's piece
  };
  void allocate();
  GradientOf reduced_gradient() const {
    return reduces_microbatches() ? &core::Parameter::microbatch_gradient : &core::Parameter::gradient;
  }
  void reduce();

  core::ParameterRegistry& registry_;
  OptimizerOptions options_;
  Shards shards_;
  GradientReducer reducer_;
  std::vector<Held> held_;
  int64_t steps_ = 0, consecutive_skips_ = 0;
};

}  // namespace sightloop::update
