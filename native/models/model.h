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
#include "modules/modules.h"

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

// Places [begin, end) in a ParameterRegistry.
struct ParameterRange {
  size_t begin, end;
};

// A vision-language model. P patches, M image tokens, T text and image tokens, D model width, V vocabulary. Token ids,
// positions and patches may lie on the host; what is returned lies where the weights do.
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
  virtual const modules::Linear& head() const = 0;  // [V, D]
  // Of weights, activations and the KV cache.
  at::ScalarType dtype() const { return head().weight.scalar_type(); }
  at::Device device() const { return head().weight.device(); }
  //   hidden [T, D]   returns [T, V] float32, without a graph
  at::Tensor logits(const at::Tensor& hidden, bool sampling) const;
  // Every linear of the language model, the head included; every one of the vision tower and its connector.
  virtual void visit_linears(const std::function<void(modules::Linear&)>& visit) = 0;
  virtual void visit_vision_linears(const std::function<void(modules::Linear&)>& visit) = 0;
  void set_products(kernels::Products products);

  // Of every block of the decoder, adapters apart.
  virtual const std::vector<ParameterRange>& block_parameters() const = 0;
  // The decoder's blocks ask for their weights; null: they are always there. With activation checkpointing only.
  void set_block_weights(modules::BlockWeights* weights) { block_options_.weights = weights; }
  // Keep only the input of every block for the backward pass, and compute the rest again.
  void set_activation_checkpointing(bool on) { block_options_.checkpointing = on; }

  const ModelSpec& spec() const { return spec_; }
  core::ParameterRegistry& parameters() { return registry_; }
  const core::ParameterRegistry& parameters() const { return registry_; }

 protected:
  ModelSpec spec_;
  core::ParameterRegistry registry_;
  modules::BlockOptions block_options_;
};

// Builds the family that `config` (config.json) names; throws c10::Error naming what is unsupported.
std::unique_ptr<Model> build(const nlohmann::json& config, core::ParameterRegistry::Source source);

nlohmann::json read_config(const std::filesystem::path& folder);

}  // namespace sightloop::models
