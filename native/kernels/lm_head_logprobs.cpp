#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/kernels.h"
#include "kernels/row_sums.h"

namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kChunkElements = int64_t{1} << 24;  // logits held at once: 64 MiB of float32
constexpr int64_t kFewestRows = 128;  // of a chunk: fewer, and the weight's traffic outweighs the product

int64_t chunk_rows(int64_t vocabulary) { return std::max(kFewestRows, kChunkElements / vocabulary); }

// [rows, V] float32, divided by the temperature
at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& weight, double temperature, Products products) {
  auto logits = head_logits(hidden, weight, products);
  return temperature == 1.0 ? logits : logits.div_(temperature);
}

struct RowSums {
  double log_sum;     // log of the sum of e^logit
  double mean_logit;  // under the distribution
};

SIGHTLOOP_CPU_CLONES RowSums sum_row(const float* logits, int64_t count) {
  const float highest = core::maximum(logits, count);
  // of e^(logit - highest), and of that times (logit - highest)
  const auto sums = row_sums<2>(
      count, [&](int64_t i, int64_t valid) __attribute__((always_inline)) {
        if (valid == kLanes) {
          const Lanes x = core::load(logits + i) - highest, weight = core::exponential(x);
          return std::array{weight, weight * x};
        }
        const Lanes x = core::load_part(logits + i, valid, highest) - highest;
        Lanes weight = core::exponential(x);
        for (auto l = valid; l < kLanes; ++l) weight[l] = 0;
        return std::array{weight, Lanes(weight * x)};
      });
  return {.log_sum = highest + std::log(sums[0]), .mean_logit = highest + sums[1] / sums[0]};
}

// In place, logits to gradients: d logprob / d logit_j = [j = target] - p_j;  d entropy / d logit_j = -p_j (log p_j + entropy).
//   dlogprob, dentropy: gradients of the row's two results, both already divided by the temperature
SIGHTLOOP_CPU_CLONES void differentiate_row(float* logits, int64_t count, float log_sum, float entropy, float dlogprob,
                                            float dentropy) {
  const float constant = dlogprob + dentropy * entropy;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes log_p = core::load(logits + i) - log_sum;
    core::store(logits + i, -core::exponential(log_p) * (constant + dentropy * log_p));
  }
  for (; i < count; ++i) {
    const float log_p = logits[i] - log_sum;
    logits[i] = -std::exp(log_p) * (constant + dentropy * log_p);
  }
}

class HeadFunction : public torch::autograd::Function<HeadFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                                                const at::Tensor& weight, const at::Tensor& targets, double temperature,
                                                Products products) {
    const auto rows = hidden.size(0), vocabulary = weight.size(0), step = chunk_rows(vocabulary);
    auto logprobs = at::empty({rows}, hidden.options().dtype(at::kFloat));
    auto entropy = at::empty_like(logprobs), log_sums = at::empty_like(logprobs);
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto logits = chunk_logits(hidden.narrow(0, begin, count), weight, temperature, products);  // [count, V]
      at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
        for (auto row = first; row < last; ++row) {
          const auto* values = logits.data_ptr<float>() + row * vocabulary;
          const auto sums = sum_row(values, vocabulary);
          const auto target = targets.data_ptr<int64_t>()[begin + row];
          logprobs.data_ptr<float>()[begin + row] = static_cast<float>(values[target] - sums.log_sum);
          entropy.data_ptr<float>()[begin + row] = static_cast<float>(sums.log_sum - sums.mean_logit);
          log_sums.data_ptr<float>()[begin + row] = static_cast<float>(sums.log_sum);
        }
      });
    }
    context->set_materialize_grads(false);  // an output nobody used has no gradient, rather than one of zeros
    context->save_for_backward({hidden, weight, targets, entropy, log_sums});
    context->saved_data["temperature"] = temperature;
    return {logprobs, entropy};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &hidden = saved[0], &weight = saved[1], &targets = saved[2], &entropy = saved[3], &log_sums = saved[4];
    const auto temperature = context->saved_data["temperature"].toDouble();
    const auto rows = hidden.size(0), vocabulary = weight.size(0), step = chunk_rows(vocabulary);
    const auto scaled = [&](const at::Tensor& gradient) {
      return gradient.defined() ? gradient.to(at::kFloat).div(temperature).contiguous() : at::zeros_like(entropy);
    };
    const auto dlogprobs = scaled(gradients[0]), dentropy = scaled(gradients[1]);
    at::Tensor dhidden, dweight;
    if (context->needs_input_grad(0)) dhidden = at::empty_like(hidden);
    for (int64_t begin = 0; begin < rows; begin += step) {
      const auto count = std::min(step, rows - begin);
      const auto input = hidden.narrow(0, begin, count);
      const auto d = chunk_logits(input, weight, temperature, Products::fastest);  // [count, V], logits first
      at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
        for (auto row = first; row < last; ++row) {
          auto* values = d.data_ptr<float>() + row * vocabulary;
          const auto of_row = [&](const at::Tensor& x) { return x.data_ptr<float>()[begin + row]; };
          differentiate_row(values, vocabulary, of_row(log_sums), of_row(entropy), of_row(dlogprobs), of_row(dentropy));
          values[targets.data_ptr<int64_t>()[begin + row]] += of_row(dlogprobs);
        }
      });
      if (dhidden.defined()) dhidden.narrow(0, begin, count).copy_(product(d.to(weight.scalar_type()), weight.t(), {}));
      if (!context->needs_input_grad(1)) continue;
      const auto part = weight_gradient(d, input.to(at::kFloat));
      dweight = dweight.defined() ? dweight.add_(part) : part;
    }
    if (dweight.defined()) dweight = dweight.to(weight.scalar_type());
    return {dhidden, dweight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

HeadLogprobs lm_head_logprobs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                              double temperature, Products products) {
  core::check_shape(weight, {-1, hidden.size(1)}, "lm_head.weight");
  core::check_shape(targets, {hidden.size(0)}, "lm_head_logprobs.targets");
  TORCH_CHECK(temperature > 0, "lm_head_logprobs: temperature must be > 0, got ", temperature);
  TORCH_CHECK(
      targets.numel() == 0 || (targets.min().item<int64_t>() >= 0 && targets.max().item<int64_t>() < weight.size(0)),
      "lm_head_logprobs: a target is outside the vocabulary of ", weight.size(0));
  const auto results = HeadFunction::apply(hidden.contiguous(), weight, targets.contiguous(), temperature, products);
  return {.logprobs = results[0], .entropy = results[1]};
}

}  // namespace sightloop::kernels
