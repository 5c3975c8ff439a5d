#pragma once
#include "models/qwen_vision.h"

// The vision tower of Qwen2.5-VL (arXiv:2502.13923 section 2.1): window and full attention, 2-axis rotary positions,
// and the connector that merges patches into image tokens.
namespace sightloop::models {

struct Qwen25VlVisionConfig {
  int64_t depth, width, heads, intermediate, output_width, window_size;
  PatchConfig patches;
  std::vector<int64_t> full_attention_blocks;
};
Qwen25VlVisionConfig read_qwen25_vl_vision_config(const ConfigReader& config);

// Order in which windows visit the merged tokens, and where windows begin and end, counted in patches.
struct WindowLayout {
  std::vector<int64_t> merged_order;       // [M]
  std::vector<int64_t> window_boundaries;  // in patches, ascending from 0
};
WindowLayout window_layout(std::span<const GridThw> grids, const Qwen25VlVisionConfig& config);

class Qwen25VlVisionTower {
 public:
  using Config = Qwen25VlVisionConfig;
  Qwen25VlVisionTower(core::ParameterRegistry& registry, const Config& config);
  //   patches [P, elements]   returns [M, output_width]
  at::Tensor operator()(const at::Tensor& patches, std::span<const GridThw> grids, const modules::BlockOptions& options,
                        core::Taps* taps) const;
  void visit_linears(const std::function<void(modules::Linear&)>& visit);

 private:
  Config config_;
  modules::Linear patch_embedding_;
  std::vector<modules::Block> blocks_;
  modules::RmsNorm merger_norm_;
  modules::Linear merger_first_, merger_second_;
};

}  // namespace sightloop::models
