#pragma once
#include <span>
#include <vector>

#include "models/config.h"
#include "models/model.h"
#include "modules/modules.h"

// The vision tower of Qwen2.5-VL (arXiv:2502.13923 section 2.1): window and full attention, 2-axis rotary positions,
// and the connector that merges patches into image tokens.
namespace sightloop::models {

struct VisionConfig {
  int64_t depth, width, heads, intermediate, output_width;
  int64_t channels, patch_size, temporal_patch_size, merge_size, window_size;
  std::vector<int64_t> full_attention_blocks;

  int64_t patch_elements() const { return channels * temporal_patch_size * patch_size * patch_size; }
};
VisionConfig read_vision_config(const ConfigReader& config);

// Order in which windows visit the merged tokens, and where windows and images begin and end, counted in patches.
struct WindowLayout {
  std::vector<int64_t> merged_order;       // [M]
  std::vector<int64_t> window_boundaries;  // in patches, ascending from 0
  std::vector<int64_t> frame_boundaries;   // likewise: one segment per frame of an image
};
WindowLayout window_layout(std::span<const GridThw> grids, const VisionConfig& config);

// Row and column of each patch, in merge-block order.   returns [P, 2] int64
at::Tensor patch_positions(std::span<const GridThw> grids, int64_t merge_size);

class VisionTower {
 public:
  VisionTower(core::ParameterRegistry& registry, const VisionConfig& config);
  //   patches [P, patch_elements]   returns [M, output_width]
  at::Tensor operator()(const at::Tensor& patches, std::span<const GridThw> grids, bool checkpointing,
                        core::Taps* taps) const;

 private:
  VisionConfig config_;
  modules::Linear patch_embedding_;
  std::vector<modules::Block> blocks_;
  modules::RmsNorm merger_norm_;
  modules::Linear merger_first_, merger_second_;
};

}  // namespace sightloop::models
