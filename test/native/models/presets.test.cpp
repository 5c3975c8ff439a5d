#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "doctest/doctest.h"
#include "models/load.h"

namespace models = sightloop::models;

namespace {

std::unique_ptr<models::Model> shapes_of(const std::string& preset) {
  const auto folder = std::filesystem::path(SIGHTLOOP_ROOT) / "configs" / "models" / preset;
  return models::build(models::read_config(folder), models::without_storage(at::kBFloat16));
}

}  // namespace

DOCTEST_TEST_CASE("presets have the published numbers of parameters; nothing is allocated to count them") {
  const std::pair<const char*, int64_t> published[] = {{"qwen2_vl_2b", 2'208'985'600},
                                                       {"qwen2_vl_7b", 8'291'375'616},
                                                       {"qwen2_5_vl_3b", 3'754'622'976},
                                                       {"qwen2_5_vl_7b", 8'292'166'656}};
  for (const auto& [preset, parameters] : published) {
    DOCTEST_CAPTURE(preset);
    const auto model = shapes_of(preset);
    DOCTEST_CHECK(model->parameters().num_elements(/*trainable_only=*/false) == parameters);
    const auto& all = model->parameters().all();
    DOCTEST_CHECK(std::all_of(all.begin(), all.end(), [](const auto& parameter) { return parameter.value.is_meta(); }));
  }
}

DOCTEST_TEST_CASE("random weights repeat by seed and name, whatever the number of threads") {
  const sightloop::core::Slice slice{.name = "a.weight", .begin = 0, .rows = 3, .shape = {3, 12345}};
  const auto values = models::initial_values(slice, 0.5, 7);
  const auto threads = at::get_num_threads();
  at::set_num_threads(1);
  DOCTEST_CHECK(at::equal(models::initial_values(slice, 0.5, 7), values));
  at::set_num_threads(threads);
  DOCTEST_CHECK(!at::equal(models::initial_values(slice, 0.5, 8), values));
  DOCTEST_CHECK(std::abs(values.mean().item<double>()) < 0.02);
  DOCTEST_CHECK(std::abs(values.std().item<double>() - 0.5) < 0.01);
  const sightloop::core::Slice bias{.name = "a.bias", .begin = 0, .rows = 3, .shape = {3}};
  DOCTEST_CHECK(at::equal(models::initial_values(bias, 0.5, 7), at::zeros({3})));
  const sightloop::core::Slice norm{.name = "norm.weight", .begin = 0, .rows = 3, .shape = {3}};
  DOCTEST_CHECK(at::equal(models::initial_values(norm, 0.5, 7), at::ones({3})));
}
