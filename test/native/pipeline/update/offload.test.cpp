#include <ATen/ATen.h>

#include "core/device.h"
#include "doctest/doctest.h"
#include "elsewhere/elsewhere.h"
#include "pipeline/update/adamw.h"

// An optimizer whose moments and masters rest on the host, against one that keeps them beside the weights.
namespace core = sightloop::core;
namespace update = sightloop::update;

namespace {

bool has_device() { return core::cuda_devices() > 0; }
at::Device device() { return has_device() ? at::Device("cuda:0") : sightloop::elsewhere::kDevice; }

const std::vector<int64_t> kSizes = {7, 4099, update::kHostPart + 1003};

struct Case {
  sightloop::collectives::SingleProcess ranks;
  core::ParameterRegistry registry{nullptr};
  update::Optimizer optimizer;

  Case(at::ScalarType dtype, bool offload, double max_grad_norm = 0.5)
      : registry(with_parameters(dtype)),
        optimizer(registry,
                  {.learning_rate = 1e-2,
                   .beta1 = 0.9,
                   .beta2 = 0.99,
                   .epsilon = 1e-8,
                   .weight_decay = 0.1,
                   .max_grad_norm = max_grad_norm,
                   .schedule = "constant",
                   .warmup_steps = 0,
                   .total_steps = 10,
                   .min_learning_rate_ratio = 0,
                   .offload = offload},
                  update::Shards(ranks, /*sharded=*/true), /*bucket_elements=*/1 << 20) {}

  static core::ParameterRegistry with_parameters(at::ScalarType dtype) {
    core::ParameterRegistry made(
        [dtype](at::IntArrayRef shape, size_t) { return numbers(shape[0], 1).to(dtype).to(device()); });
    for (const auto size : kSizes) made.create(at::IntArrayRef{size}, core::Part::language_model, std::to_string(size));
    for (auto& parameter : made.all()) parameter.trainable = true;
    return made;
  }

  static at::Tensor numbers(int64_t size, int64_t seed) {
    return at::sin(at::arange(size, at::kFloat).mul(0.37).add(static_cast<double>(seed)));
  }

  // Of all parameters but the one at `without`, -1 for none.
  void step(int64_t seed, int64_t without = -1) {
    for (size_t i = 0; i < registry.all().size(); ++i) {
      if (static_cast<int64_t>(i) == without) continue;
      auto& parameter = registry.all()[i];
      const auto gradient = numbers(parameter.value.numel(), seed).to(device());
      if (parameter.narrow())
        parameter.gradient_sum = gradient;
      else
        parameter.value.mutable_grad() = gradient;
    }
    optimizer.reduce_gradients();
    optimizer.step(optimizer.grad_norm());
  }
};

void check_same(const at::Tensor& a, const at::Tensor& b) {
  if (has_device())
    DOCTEST_CHECK(at::allclose(a.cpu(), b.cpu(), 1e-5, 1e-6));
  else
    DOCTEST_CHECK(at::equal(a.cpu(), b.cpu()));
}

void check_same(Case& a, Case& b) {
  for (size_t i = 0; i < a.registry.all().size(); ++i) check_same(a.registry.all()[i].value, b.registry.all()[i].value);
  const auto of_a = a.optimizer.state(), of_b = b.optimizer.state();
  DOCTEST_REQUIRE(of_a.size() == of_b.size());
  for (size_t i = 0; i < of_a.size(); ++i) {
    DOCTEST_CAPTURE(of_a[i].first);
    DOCTEST_CHECK(of_a[i].first == of_b[i].first);
    check_same(of_a[i].second, of_b[i].second);
  }
}

std::map<std::string, at::Tensor> saved(const update::Optimizer& optimizer) {
  std::map<std::string, at::Tensor> copies;  // on the host, as a file's
  for (const auto& [name, tensor] : optimizer.state()) copies[name] = tensor.cpu().clone();
  return copies;
}

}  // namespace

DOCTEST_TEST_CASE("offloaded: the same weights, moments and masters; those are on the host, the weights are not") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    DOCTEST_CAPTURE(dtype);
    Case beside(dtype, false), offloaded(dtype, true);
    for (auto* one : {&beside, &offloaded}) {
      one->step(1, /*without=*/1);
      one->step(2);
    }
    check_same(beside, offloaded);
    for (const auto& [name, tensor] : offloaded.optimizer.state()) DOCTEST_CHECK(tensor.is_cpu());
    for (const auto& parameter : offloaded.registry.all()) DOCTEST_CHECK(parameter.value.device() == device());
    DOCTEST_CHECK(beside.optimizer.state()[0].second.device() == device());
    DOCTEST_CHECK(offloaded.optimizer.bytes() == beside.optimizer.bytes());
  }
}

DOCTEST_TEST_CASE("offloaded: state goes on in a run without it, and the other way round") {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const bool offload : {false, true}) {
      DOCTEST_CAPTURE(dtype);
      DOCTEST_CAPTURE(offload);
      Case through(dtype, offload), resumed(dtype, !offload);
      through.step(1, /*without=*/0);
      resumed.optimizer.restore(saved(through.optimizer), 1, 0, {});
      for (size_t i = 0; i < kSizes.size(); ++i) resumed.registry.all()[i].value.copy_(through.registry.all()[i].value);
      for (auto* one : {&through, &resumed}) one->step(2);
      check_same(through, resumed);
    }
}
