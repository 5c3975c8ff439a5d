#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/safetensors.h"
#include "core/random.h"
#include "models/model.h"

namespace sightloop::models {
namespace {

// Storage for at most `limit` values, so that a config.json with a size gone wrong is refused before the machine's memory is
// used up. `refusal` says what the limit is.
core::ParameterRegistry::Source allocate_within(double limit, std::string refusal) {
  return [limit, refusal = std::move(refusal), used = 0.0](at::IntArrayRef shape, size_t /*index*/) mutable {
    double values = 1;  // the product of sizes gone wrong overflows any integer
    for (const auto size : shape) values *= static_cast<double>(size);
    used += values;
    TORCH_CHECK(used <= limit, refusal);
    return at::empty(shape, at::kFloat);
  };
}

// Newer tools nest both halves under "model."; the published names are the canonical ones.
std::string canonical(const std::string& name) {
  for (const auto& [prefix, replacement] :
       {std::pair{"model.language_model.", "model."}, std::pair{"model.visual.", "visual."}})
    if (name.rfind(prefix, 0) == 0) return replacement + name.substr(std::char_traits<char>::length(prefix));
  return name;
}

uint64_t hash(const std::string& text) {  // FNV-1a
  uint64_t value = 0xcbf29ce484222325ULL;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001b3ULL;
  return value;
}

// Standard normal by Box-Muller, keyed by (seed, tensor name, element).
void fill_normal(at::Tensor& tensor, double deviation, uint64_t seed, const std::string& name) {
  auto dense = at::empty(tensor.sizes(), at::kFloat);
  auto* data = dense.data_ptr<float>();
  const auto stream = hash(name);
  for (int64_t i = 0; i < dense.numel(); i += 2) {
    const auto draw = [&](uint32_t which) {
      return core::uniform(
          {.seed = seed, .step = stream, .prompt_id = static_cast<uint64_t>(i), .sample_index = which, .position = 0});
    };
    const double radius = std::sqrt(-2 * std::log(draw(0))) * deviation, angle = 2 * M_PI * draw(1);
    data[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < dense.numel()) data[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  tensor.copy_(dense);
}

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

void fill(Model& model, const std::map<std::string, at::Tensor>& tensors, const std::string& origin) {
  std::map<std::string, at::Tensor> by_name;
  for (const auto& [name, tensor] : tensors) by_name[canonical(name)] = tensor;
  std::set<std::string> unused;
  for (const auto& [name, tensor] : by_name) unused.insert(name);
  for (const auto& parameter : model.parameters().all())
    for (const auto& slice : parameter.slices) {
      const auto found = by_name.find(slice.name);
      TORCH_CHECK(found != by_name.end(), origin, ": tensor \"", slice.name,
                  "\" is missing. Copy or download the checkpoint again, or check that config.json belongs to it.");
      TORCH_CHECK(found->second.sizes() == at::IntArrayRef(slice.shape), origin, ": tensor \"", slice.name,
                  "\" has shape ", found->second.sizes(), ", but config.json asks for ", slice.shape,
                  ". Check that both belong to the same checkpoint.");
      parameter.view(slice).copy_(found->second);
      unused.erase(slice.name);
    }
  // A tied head may be stored although the embedding stands for it.
  unused.erase("lm_head.weight");
  TORCH_CHECK(unused.empty(), origin, ": holds ", unused.size(),
              " tensors that the model has no place for, the first is \"", *unused.begin(),
              "\". Check that config.json belongs to the weights.");
}

std::unique_ptr<Model> load(const std::filesystem::path& folder) {
  const auto config = read_config(folder);
  const auto tensors = checkpoint::read_folder(folder);
  double held = 0;
  for (const auto& [name, tensor] : tensors) held += static_cast<double>(tensor.numel());
  auto model = build(config, allocate_within(held, folder.string() + ": config.json asks for more than the " +
                                                       std::to_string(static_cast<int64_t>(held)) +
                                                       " values that the weights' files hold. Check that both belong "
                                                       "to the same checkpoint."));
  fill(*model, tensors, folder.string());
  return model;
}

std::unique_ptr<Model> create(const std::filesystem::path& folder, uint64_t seed, int64_t memory_bytes) {
  auto model = build(read_config(folder),
                     allocate_within(static_cast<double>(memory_bytes) / sizeof(float),
                                     (folder / "config.json").string() + ": the model is larger than this machine's " +
                                         std::to_string(memory_bytes >> 20) + " MiB of memory. Lower its sizes."));
  initialize(*model, seed);
  return model;
}

std::unique_ptr<Model> frozen_copy(const Model& model, const nlohmann::json& config) {
  const auto& originals = model.parameters().all();
  return build(config, [&](at::IntArrayRef, size_t index) {
    const auto& original = originals.at(index);
    return original.trainable ? original.value.detach().clone() : original.value.detach();
  });
}

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const Model& model) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& parameter : model.parameters().all())
    for (const auto& slice : parameter.slices) named.emplace_back(slice.name, parameter.view(slice).detach());
  return named;
}

void initialize(Model& model, uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const auto& parameter : model.parameters().all())
    for (const auto& slice : parameter.slices) {
      auto view = parameter.view(slice);
      if (ends_with(slice.name, ".bias"))
        view.zero_();
      else if (slice.shape.size() == 1)
        view.fill_(1);
      else
        fill_normal(view, model.spec().initializer_range, seed, slice.name);
    }
}

}  // namespace sightloop::models
