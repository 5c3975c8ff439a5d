#include "models/lora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "kernels/low_rank.h"
#include "models/load.h"

namespace sightloop::models {
namespace {

constexpr auto kWrapper = "base_model.model.";                    // what PEFT puts before a module's path
constexpr auto kDown = ".lora_A.weight", kUp = ".lora_B.weight";  // equally long

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> known_targets(Model& model) {
  std::vector<std::string> known;
  model.visit_linears([&](modules::Linear& linear) {
    for (const auto& projection : linear.projections) {
      const auto name = last_part(projection.name);
      if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
    }
  });
  return known;
}

}  // namespace

double Lora::scale() const {
  return alpha / (rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
}

std::vector<std::string> lora_targets(Model& model, const std::vector<std::string>& names) {
  auto known = known_targets(model);
  if (names == std::vector<std::string>{"all_linear"}) return known;
  for (const auto& name : names)
    TORCH_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "model.lora.targets: \"", name,
                "\" names no linear layer of the language model. It has ", listed(known),
                "; all_linear takes every one.");
  std::erase_if(known,
                [&](const std::string& name) { return std::find(names.begin(), names.end(), name) == names.end(); });
  return known;
}

void add_lora(Model& model, const Lora& lora) {
  TORCH_CHECK(lora.rank > 0 && lora.rank <= model.spec().hidden_size, "model.lora.rank ", lora.rank,
              " must be from 1 to the language model's hidden_size ", model.spec().hidden_size, ".");
  auto& registry = model.parameters();
  model.visit_linears([&](modules::Linear& linear) {
    std::vector<core::Slice> downs, ups;
    auto low_rank = std::make_shared<kernels::LowRank>();
    const auto inputs = linear.weight.size(1);
    int64_t down_rows = 0, up_rows = 0;
    for (const auto& [name, begin, rows] : linear.projections) {
      if (std::find(lora.targets.begin(), lora.targets.end(), last_part(name)) == lora.targets.end()) continue;
      downs.push_back({.name = name + kDown, .begin = down_rows, .rows = lora.rank, .shape = {lora.rank, inputs}});
      ups.push_back({.name = name + kUp, .begin = up_rows, .rows = rows, .shape = {rows, lora.rank}});
      low_rank->outputs.push_back({.begin = begin, .rows = rows});
      down_rows += lora.rank;
      up_rows += rows;
    }
    if (downs.empty()) return;
    const auto beside = linear.weight.is_meta() ? at::Device(at::kCPU) : linear.weight.device();
    low_rank->down = registry.add(at::zeros({down_rows, inputs}, beside), core::Part::adapter, std::move(downs));
    low_rank->up = registry.add(at::zeros({up_rows, lora.rank}, beside), core::Part::adapter, std::move(ups));
    low_rank->scale = lora.scale();
    linear.low_rank = std::move(low_rank);
  });
}

void initialize_lora(Model& model, uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const auto& parameter : model.parameters().all())
    for (const auto& slice : parameter.slices)
      if (parameter.part == core::Part::adapter && slice.name.ends_with(kDown))
        parameter.view(slice).copy_(uniform_values(slice, 1 / std::sqrt(static_cast<double>(slice.shape[1])), seed));
}

AdapterFolder::AdapterFolder(const std::filesystem::path& folder, Model& model)
    : file_([&] {
        TORCH_CHECK(std::filesystem::exists(folder / checkpoint::kAdapterWeightsFile) ||
                        !std::filesystem::exists(folder / "adapter_model.bin"),
                    folder.string(),
                    ": holds adapter_model.bin, which is not read. Save the adapter as safetensors with PEFT.");
        return checkpoint::SafetensorsFile(folder / checkpoint::kAdapterWeightsFile);
      }()),
      lora_{checkpoint::read_adapter_config(folder), {}} {
  const auto where = file_.path().string();
  std::set<std::string> projections;
  model.visit_linears([&](modules::Linear& linear) {
    for (const auto& projection : linear.projections) projections.insert(projection.name);
  });
  std::set<std::string> targets;
  for (const auto& [stored, tensor] : file_.tensors()) {
    const bool wrapped = stored.rfind(kWrapper, 0) == 0;
    const auto name = canonical_name(stored.substr(wrapped ? std::char_traits<char>::length(kWrapper) : 0));
    TORCH_CHECK(name.rfind("visual.", 0) != 0, where, ": tensor \"", stored,
                "\" adapts the vision tower; only adapters of the language model are supported. Merge it into its base "
                "with PEFT, and give the merged model.");
    TORCH_CHECK(
        name.ends_with(kDown) || name.ends_with(kUp), where, ": tensor \"", stored,
        "\" is neither lora_A.weight nor lora_B.weight of a linear layer. Only plain LoRA is supported: merge the "
        "adapter into its base with PEFT, and give the merged model.");
    const auto projection = name.substr(0, name.size() - std::char_traits<char>::length(kDown));
    TORCH_CHECK(wrapped && projections.contains(projection), where, ": tensor \"", stored,
                "\" belongs to no linear layer of the language model. Known are keys like ", kWrapper,
                "model.language_model.layers.0.self_attn.q_proj.lora_A.weight (transformers 5) and ", kWrapper,
                "model.layers.0.self_attn.q_proj.lora_A.weight (transformers 4), for the base's own layers.");
    const auto [earlier, is_new] = stored_names_.emplace(name, stored);
    TORCH_CHECK(is_new, where, ": tensors \"", earlier->second, "\" and \"", stored,
                "\" are the same one under two names. Copy the adapter again.");
    targets.insert(last_part(projection));
  }
  TORCH_CHECK(lora_.rank <= model.spec().hidden_size, where, ": r ", lora_.rank, " in ", checkpoint::kAdapterConfigFile,
              " is larger than the base's hidden_size ", model.spec().hidden_size,
              ". Give the base that the adapter was trained on.");
  TORCH_CHECK(!targets.empty(), where, ": holds no tensor. Copy the adapter again.");
  lora_.targets = lora_targets(model, {targets.begin(), targets.end()});
}

void AdapterFolder::fill(Model& model) const {
  const at::NoGradGuard no_grad;
  const auto where = file_.path().string();
  for (const auto& parameter : model.parameters().all()) {
    if (parameter.part != core::Part::adapter) continue;
    for (const auto& slice : parameter.slices) {
      const auto found = stored_names_.find(slice.name);
      TORCH_CHECK(
          found != stored_names_.end(), where, ": lacks the adapter's half \"", slice.name,
          "\". An adapter must have both halves in every layer of the base; copy it again, or give the base that "
          "it was trained on.");
      const auto& tensor = file_.tensors().at(found->second);
      TORCH_CHECK(tensor.sizes() == at::IntArrayRef(slice.shape), where, ": tensor \"", found->second, "\" has shape ",
                  tensor.sizes(), ", but the base model and r of adapter_config.json ask for ",
                  at::IntArrayRef(slice.shape), ". Give the base that the adapter was trained on.");
      TORCH_CHECK(tensor.is_floating_point(), where, ": tensor \"", found->second, "\" is ", tensor.scalar_type(),
                  ". Save the adapter in float32, bfloat16 or float16.");
      file_.copy_out(found->second, parameter.view(slice), {});
    }
  }
}

void save_adapter(const std::filesystem::path& folder, const Model& model, const Lora& lora,
                  const std::string& base_model) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& parameter : model.parameters().all())
    if (parameter.part == core::Part::adapter)
      for (const auto& slice : parameter.slices)
        tensors.emplace_back(kWrapper + nested_name(slice.name), parameter.view(slice).detach());
  checkpoint::write_safetensors(folder / checkpoint::kAdapterWeightsFile, tensors, {{"format", "pt"}});
  checkpoint::write_adapter_config(folder, lora, lora.targets, base_model);
}

std::vector<checkpoint::OutgoingTensor> merged_tensors(Model& model) {
  std::map<std::string, std::function<at::Tensor()>> additions;  // by the weight's name
  model.visit_linears([&](modules::Linear& linear) {
    if (!linear.low_rank) return;
    const auto& outputs = linear.low_rank->outputs;
    for (size_t i = 0; i < outputs.size(); ++i)
      for (const auto& projection : linear.projections)
        if (projection.begin == outputs[i].begin)
          additions[projection.name + ".weight"] = [low_rank = linear.low_rank, i] {
            return kernels::low_rank_weight(*low_rank, i);
          };
  });
  std::vector<checkpoint::OutgoingTensor> tensors;
  for (const auto& parameter : model.parameters().all()) {
    if (parameter.part == core::Part::adapter) continue;
    for (const auto& slice : parameter.slices) {
      const auto found = additions.find(slice.name);
      const auto addition = found == additions.end() ? std::function<at::Tensor()>() : found->second;
      tensors.push_back({.name = slice.name,
                         .dtype = parameter.value.scalar_type(),
                         .shape = slice.shape,
                         .make = [&parameter, &slice, addition] {
                           const at::NoGradGuard no_grad;
                           const auto weight = parameter.view(slice);
                           return addition ? weight.to(at::kFloat).add(addition()).to(weight.scalar_type()) : weight;
                         }});
    }
  }
  return tensors;
}

}  // namespace sightloop::models
