#include "models/load.h"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

namespace sightloop::models {
namespace {

using checkpoint::SafetensorsFile;

std::string replace_first(const std::string& name, std::span<const std::pair<const char*, const char*>> prefixes) {
  for (const auto& [prefix, replacement] : prefixes)
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
      const auto [earlier, is_new] = stored.emplace(canonical_name(name), Stored{.file = &file, .name = name});
      TORCH_CHECK(is_new, origin, ": tensors \"", earlier->second.name, "\" and \"", name,
                  "\" are the same one under two names. Copy or download the checkpoint again.");
    }
  return stored;
}

}  // namespace

std::string canonical_name(const std::string& name) {
  static constexpr std::pair<const char*, const char*> kPrefixes[] = {{"model.language_model.", "model."},
                                                                      {"model.visual.", "visual."}};
  return replace_first(name, kPrefixes);
}

std::string nested_name(const std::string& name) {
  static constexpr std::pair<const char*, const char*> kPrefixes[] = {{"model.", "model.language_model."},
                                                                      {"visual.", "model.visual."}};
  return replace_first(name, kPrefixes);
}

core::ParameterRegistry::Source without_storage(at::ScalarType dtype) {
  return [dtype](at::IntArrayRef shape, size_t) { return at::empty(shape, at::device(at::kMeta).dtype(dtype)); };
}

core::ParameterRegistry::Source at_most(int64_t limit, std::string refusal, core::ParameterRegistry::Source source) {
  return [limit, refusal = std::move(refusal), source = std::move(source), used = 0.0](at::IntArrayRef shape,
                                                                                       size_t index) mutable {
    double values = 1;  // the product of sizes gone wrong overflows any integer
    for (const auto size : shape) values *= static_cast<double>(size);
    used += values;
    TORCH_CHECK(used <= static_cast<double>(limit), refusal);
    return source(shape, index);
  };
}

void fill(Model& model, std::span<const SafetensorsFile> files, const std::string& origin, const Progress& progress,
          const Chosen& chosen) {
  const at::NoGradGuard no_grad;
  auto stored = by_canonical_name(files, origin);
  int64_t done = 0, total = 0;
  for (const auto& [name, place] : stored) total += static_cast<int64_t>(place.tensor().nbytes());
  const auto copied = [&](int64_t bytes) {
    done += bytes;
    if (progress) progress(done, total);
  };
  for (const auto& parameter : model.parameters().all()) {
    if (!chosen(parameter)) continue;
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
  }
  // A tied head may be stored although the embedding stands for it.
  stored.erase("lm_head.weight");
  TORCH_CHECK(stored.empty(), origin, ": holds ", stored.size(),
              " tensors that the model has no place for, the first is \"", stored.begin()->second.name,
              "\". Check that config.json belongs to the weights.");
}

std::unique_ptr<Model> load(const std::filesystem::path& folder, const Storage& storage, const Progress& progress) {
  return load(
      folder, [&](at::IntArrayRef shape, size_t) { return at::empty(shape, storage.options()); }, progress);
}

std::unique_ptr<Model> load(const std::filesystem::path& folder, core::ParameterRegistry::Source memory,
                            const Progress& progress) {
  const auto config = read_config(folder);
  const auto files = checkpoint::open_folder(folder);
  int64_t held = 0;
  for (const auto& file : files)
    for (const auto& [name, tensor] : file.tensors()) held += tensor.numel();
  auto model =
      build(config, at_most(held,
                            folder.string() + ": config.json asks for more than the " + std::to_string(held) +
                                " values that the weights' files hold. Check that both belong to the same checkpoint.",
                            std::move(memory)));
  fill(*model, files, folder.string(), progress, in_checkpoint);
  return model;
}

std::unique_ptr<Model> frozen_copy(const Model& model, const nlohmann::json& config,
                                   const core::ParameterRegistry::Source& memory) {
  const at::NoGradGuard no_grad;
  const auto& originals = model.parameters().all();
  return build(config, [&](at::IntArrayRef shape, size_t index) {
    const auto& original = originals.at(index);
    return original.trainable ? memory(shape, index).copy_(original.value) : original.value.detach();
  });
}

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const Model& model, const Chosen& chosen) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& parameter : model.parameters().all())
    if (chosen(parameter))
      for (const auto& slice : parameter.slices) named.emplace_back(slice.name, parameter.view(slice).detach());
  return named;
}

}  // namespace sightloop::models
