#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "collectives/process_group.h"
#include "core/parameter.h"

namespace sightloop::update {

// AdamW with decoupled weight decay (arXiv:1711.05101 algorithm 2) on every trainable parameter, in float32, and its
// schedule.
struct OptimizerOptions {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  double max_grad_norm;  // <= 0: no clipping
  std::string schedule;  // constant | linear | cosine
  int64_t warmup_steps, total_steps;
  double min_learning_rate_ratio;
};

// Learning rate of optimizer step `step` (from 0): linear up to the full rate at the end of warm-up, then constant,
// linear or half a cosine down to min_learning_rate_ratio at total_steps.
double learning_rate(const OptimizerOptions& options, int64_t step);

class Optimizer {
 public:
  Optimizer(core::ParameterRegistry& registry, OptimizerOptions options);

  // Makes every gradient its sum over the ranks. A parameter that nothing reached on any rank stays without one.
  void reduce_gradients(collectives::ProcessGroup& ranks);
  // L2 over all gradients, before clipping.
  double grad_norm() const;
  // Checkpoint names of the tensors whose gradient holds NaN or infinity.
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

  // By checkpoint name: moments "exp_avg/<name>", "exp_avg_sq/<name>", float32 weights "master/<name>" of a narrower
  // model, update counts "step/<name>"; `restore` takes what `state` gave, and puts the
  // masters of a narrower model into float32 weights.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void restore(const std::map<std::string, at::Tensor>& state, int64_t steps, int64_t consecutive_skips,
               const std::stop_token& stop);

 private:
  void allocate();
  core::ParameterRegistry& registry_;
  std::vector<core::Parameter*> parameters_;  // those that are trained
  OptimizerOptions options_;
  std::vector<at::Tensor> exp_avgs_, exp_avg_sqs_;  // empty until the first step
  std::vector<int64_t> updates_;                    // per parameter: bias correction counts the steps that moved it
  int64_t steps_ = 0, consecutive_skips_ = 0;
};

}  // namespace sightloop::update
