#include "models/load.h"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

namespace sightloop::models {
namespace {

using checkpoint::SafetensorsFile;

// Newer tools nest both halves under "model."; the published names are the canonical ones.
std::string canonical(const std::string& name) {
  for (const auto& [prefix, replacement] :
       {std::pair{"model.language_model.", "model."}, std::pair{"model.visual.", "visual."}})
    if (name.rfind(prefix, 0) == 0) return replacement + name.substr(std::char_traits<char>::length(prefix));
  return name;
}

struct Stored {
  const SafetensorsFile* file;
  std::string name;

  const at::Tensor& tensor() const { return file->tensors().at(name); }
};

std::map<std::string, Stored> by_canonical_name(std::span<const SafetensorsFile> files, const std::string& origin) {
  std::map<std::string, Stored> stored;
  for (const auto& file : files)
    for (const auto& [name, tensor] : file.tensors()) {
      const auto [earlier, is_new] = stored.emplace(canonical(name), Stored{.file = &file, .name = name});
      TORCH_CHECK(is_new, origin, ": tensors \"", earlier->second.name, "\" and \"", name,
                  "\" are the same one under two names. Copy or download the checkpoint again.");
    }
  return stored;
}

}  // namespace

core::ParameterRegistry::Source without_storage(at::ScalarType dtype) {
  return [dtype](at::IntArrayRef shape, size_t) { return at::empty(shape, at::device(at::kMeta).dtype(dtype)); };
}

void fill(Model& model, std::span<const SafetensorsFile> files, const std::string& origin, const Progress& progress) {
  const at::NoGradGuard no_grad;
  auto stored = by_canonical_name(files, origin);
  int64_t done = 0, total = 0;
  for (const auto& [name, place] : stored) total += static_cast<int64_t>(place.tensor().nbytes());
  const auto copied = [&](int64_t bytes) {
    done += bytes;
    if (progress) progress(done, total);
  };
  for (const auto& parameter : model.parameters().all())
    for (const auto& slice : parameter.slices) {
      const auto found = stored.find(slice.name);
      TORCH_CHECK(found != stored.end(), origin, ": tensor \"", slice.name,
                  "\" is missing. Copy or download the checkpoint again, or check that config.json belongs to it.");
      const auto& [file, name] = found->second;
      const auto& tensor = found->second.tensor();
      TORCH_CHECK(tensor.sizes() == at::IntArrayRef(slice.shape), origin, ": tensor \"", name, "\" has shape ",
                  tensor.sizes(), ", but config.json asks for ", slice.shape,
                  ". Check that both belong to the same checkpoint.");
      TORCH_CHECK(tensor.is_floating_point(), origin, ": tensor \"", name, "\" is ", tensor.scalar_type(),
                  ". Quantized weights are not supported: give a float32, bfloat16 or float16 checkpoint.");
      file->copy_out(name, parameter.view(slice), copied);
      stored.erase(found);
    }
  // A tied head may be stored although the embedding stands for it.
  stored.erase("lm_head.weight");
  TORCH_CHECK(stored.empty(), origin, ": holds ", stored.size(),
              " tensors that the model has no place for, the first is \"", stored.begin()->second.name,
              "\". Check that config.json belongs to the weights.");
}

std::unique_ptr<Model> load(const std::filesystem::path& folder, at::ScalarType dtype, const Progress& progress) {
  auto model = build(read_config(folder), [dtype](at::IntArrayRef shape, size_t) { return at::empty(shape, dtype); });
  fill(*model, checkpoint::open_folder(folder), folder.string(), progress);
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

}  // namespace sightloop::models
