#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/random.h"
#include "models/load.h"

namespace sightloop::models {
namespace {

constexpr int64_t kPairsPerTask = 4096;

uint64_t hash(const std::string& text) {  // FNV-1a
  uint64_t value = 0xcbf29ce484222325ULL;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001b3ULL;
  return value;
}

// Standard normal by Box-Muller, two elements a draw, keyed by (seed, tensor name, element).
void fill_normal(at::Tensor& tensor, double deviation, uint64_t seed, const std::string& name) {
  auto* data = tensor.data_ptr<float>();
  const auto count = tensor.numel();
  const auto stream = hash(name);
  at::parallel_for(0, (count + 1) / 2, kPairsPerTask, [&](int64_t first, int64_t last) {
    for (int64_t i = 2 * first; i < std::min(2 * last, count); i += 2) {
      const auto draw = [&](uint32_t which) {
        return core::uniform({.seed = seed,
                              .step = stream,
                              .prompt_id = static_cast<uint64_t>(i),
                              .sample_index = which,
                              .position = 0});
      };
      const double radius = std::sqrt(-2 * std::log(draw(0))) * deviation, angle = 2 * M_PI * draw(1);
      data[i] = static_cast<float>(radius * std::cos(angle));
      if (i + 1 < count) data[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
  });
}

}  // namespace

at::Tensor initial_values(const core::Slice& slice, double initializer_range, uint64_t seed) {
  if (slice.name.ends_with(".bias")) return at::zeros(slice.shape, at::kFloat);
  if (slice.shape.size() == 1) return at::ones(slice.shape, at::kFloat);
  auto values = at::empty(slice.shape, at::kFloat);
  fill_normal(values, initializer_range, seed, slice.name);
  return values;
}

at::Tensor uniform_values(const core::Slice& slice, double bound, uint64_t seed) {
  auto values = at::empty(slice.shape, at::kFloat);
  auto* data = values.data_ptr<float>();
  const auto stream = hash(slice.name);
  at::parallel_for(0, values.numel(), 2 * kPairsPerTask, [&](int64_t first, int64_t last) {
    for (auto i = first; i < last; ++i) {
      const auto draw = core::uniform({.seed = seed, .step = stream, .prompt_id = static_cast<uint64_t>(i)});
      data[i] = static_cast<float>((2 * draw - 1) * bound);
    }
  });
  return values;
}

}  // namespace sightloop::models
