#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/attention_context.h"
#include "core/parameter.h"
#include "core/taps.h"

namespace sightloop::models {

// Patches (t, h, w) of one image.
using GridThw = std::array<int64_t, 3>;

// What the rest of the engine needs to know about a model, whatever its family.
struct ModelSpec {
  std::string model_type;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_kv_heads = 0;
  int64_t head_width = 0;
  int64_t max_position_embeddings = 0;
  int64_t image_token_id = -1;
  int64_t video_token_id = -1;
  int64_t spatial_merge_size = 1;
  int64_t patch_elements = 0;  // floats in one row of `patches`
  double initializer_range = 0.02;

  int64_t image_tokens(const GridThw& grid) const {
    return grid[0] * grid[1] * grid[2] / (spatial_merge_size * spatial_merge_size);
  }
};

// A vision-language model. P patches, M image tokens, T text and image tokens, D model width, V vocabulary.
class Model {
 public:
  Model(ModelSpec spec, core::ParameterRegistry::Source source)
      : spec_(std::move(spec)), registry_(std::move(source)) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  //   patches [P, patch_elements] of all images in merge-block order, grids: one per image   returns [M, D]
  virtual at::Tensor encode_images(const at::Tensor& patches, std::span<const GridThw> grids,
                                   core::Taps* taps) const = 0;
  //   token_ids [T] int64   image_features [M, D] for the M image tokens in order, or undefined   returns [T, D]
  virtual at::Tensor embed(const at::Tensor& token_ids, const at::Tensor& image_features) const = 0;
  //   embeddings [T, D]   positions [3, T] int64   returns hidden states after the final norm [T, D]
  virtual at::Tensor forward(const at::Tensor& embeddings, const at::Tensor& positions, core::AttentionContext& context,
                             core::Taps* taps) const = 0;
  // [V, D]; logits are linear(hidden, head()).
  virtual const at::Tensor& head() const = 0;

  const ModelSpec& spec() const { return spec_; }
  core::ParameterRegistry& parameters() { return registry_; }
  const core::ParameterRegistry& parameters() const { return registry_; }

 protected:
  ModelSpec spec_;
  core::ParameterRegistry registry_;
};

// Builds the family that `config` (config.json) names; throws c10::Error naming what is unsupported.
std::unique_ptr<Model> build(const nlohmann::json& config, core::ParameterRegistry::Source source);

nlohmann::json read_config(const std::filesystem::path& folder);

// Reads a Hugging Face folder. Every parameter must be there with its shape; tensors that no parameter uses are an error.
std::unique_ptr<Model> load(const std::filesystem::path& folder);

// A model with random weights, as the folder's config.json describes it; refused if it takes more than `memory_bytes`.
std::unique_ptr<Model> create(const std::filesystem::path& folder, uint64_t seed, int64_t memory_bytes);

// A frozen copy: parameters that `model` trains are cloned, the others shared.
std::unique_ptr<Model> frozen_copy(const Model& model, const nlohmann::json& config);

// Fills the parameters from name -> tensor; `origin` names the source in errors.
void fill(Model& model, const std::map<std::string, at::Tensor>& tensors, const std::string& origin);

// Every slice of every parameter under its checkpoint name.
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const Model& model);

// Random weights: matrices N(0, initializer_range), norms 1, biases 0; keyed by `seed` and the tensor's name.
void initialize(Model& model, uint64_t seed);

}  // namespace sightloop::models
