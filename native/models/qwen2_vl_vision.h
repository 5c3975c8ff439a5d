#pragma once
#include "models/qwen_vision.h"

// The vision tower of Qwen2-VL (arXiv:2409.12191 section 2.1): layer norm, full attention within each frame, 2-axis
// rotary positions, and the connector that merges patches into image tokens.
namespace sightloop::models {

struct Qwen2VlVisionConfig {
  int64_t depth, width, heads, intermediate, output_width;
  PatchConfig patches;
};
Qwen2VlVisionConfig read_qwen2_vl_vision_config(const ConfigReader& config);

class Qwen2VlVisionTower {
 public:
  using Config = Qwen2VlVisionConfig;
  Qwen2VlVisionTower(core::ParameterRegistry& registry, const Config& config);
  //   patches [P, elements]   returns [M, output_width]
  at::Tensor operator()(const at::Tensor& patches, std::span<const GridThw> grids, const modules::BlockOptions& options,
                        core::Taps* taps) const;
  void visit_linears(const std::function<void(modules::Linear&)>& visit);

 private:
  Config config_;
  modules::Linear patch_embedding_;
  std::vector<modules::LayerNormBlock> blocks_;
  modules::LayerNorm merger_norm_;
  modules::Linear merger_first_, merger_second_;
};

}  // namespace sightloop::models
