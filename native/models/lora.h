#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/adapter_config.h"
#include "checkpoint/safetensors.h"
#include "models/model.h"

// LoRA (arXiv:2106.09685) on the linear layers of a language model whose weights stay frozen.
namespace sightloop::models {

struct Lora : checkpoint::AdapterConfig {
  std::vector<std::string> targets;  // last parts of projection names ("q_proj"), in the model's order; every layer's

  double scale() const;
};

// `names` as targets of this model; "all_linear" alone stands for every projection, the LM head excepted. Throws if one
// names none.
std::vector<std::string> lora_targets(Model& model, const std::vector<std::string>& names);

// Adds an adapter to every projection that `lora` targets. It changes nothing yet: A is 0, and so is B.
void add_lora(Model& model, const Lora& lora);

// A: uniform within +-1 / sqrt(inputs), which is Kaiming's for a = sqrt(5), keyed by seed and name. B: 0.
void initialize_lora(Model& model, uint64_t seed);

// An adapter's folder in PEFT's format, opened for one model.
class AdapterFolder {
 public:
  // Throws unless every tensor is half of an addition to one of the model's projections. Reads the module paths of
  // transformers 4 (model.layers) and 5 (model.language_model.layers).
  AdapterFolder(const std::filesystem::path& folder, Model& model);

  const Lora& lora() const { return lora_; }
  // Copies the tensors into the adapter that `add_lora` made of lora().
  void fill(Model& model) const;

 private:
  checkpoint::SafetensorsFile file_;
  Lora lora_;
  std::map<std::string, std::string> stored_names_;  // by the parameter's name
};

// Writes adapter_model.safetensors, under the module paths of transformers 5, and adapter_config.json.
void save_adapter(const std::filesystem::path& folder, const Model& model, const Lora& lora,
                  const std::string& base_model);

// Every tensor of the checkpoint, with the adapter's addition where there is one; made one at a time. The model must
// outlive what is returned.
std::vector<checkpoint::OutgoingTensor> merged_tensors(Model& model);

}  // namespace sightloop::models
