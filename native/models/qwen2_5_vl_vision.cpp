#include "models/qwen2_5_vl_vision.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "modules/contexts.h"

namespace sightloop::models {
namespace {

constexpr double kNormEpsilon = 1e-6;  // fixed in the reference
constexpr double kRotaryTheta = 10000.0;

}  // namespace

VisionConfig read_vision_config(const ConfigReader& config) {
  config.expect("hidden_act", "silu");
  VisionConfig vision{.depth = config.positive("depth"),
                      .width = config.positive("hidden_size"),
                      .heads = config.positive("num_heads"),
                      .intermediate = config.positive("intermediate_size"),
                      .output_width = config.positive("out_hidden_size"),
                      .channels = config.positive("in_channels", config.positive("in_chans", 3)),
                      .patch_size = config.positive("patch_size"),
                      .temporal_patch_size = config.positive("temporal_patch_size", 2),
                      .merge_size = config.positive("spatial_merge_size", 2),
                      .window_size = config.positive("window_size"),
                      .full_attention_blocks = config.integers("fullatt_block_indexes")};
  TORCH_CHECK(vision.width % (4 * vision.heads) == 0, "config.json: vision_config: hidden_size ", vision.width,
              " must be a multiple of 4 x num_heads ", vision.heads);
  TORCH_CHECK(vision.window_size >= vision.merge_size * vision.patch_size, "config.json: vision_config: window_size ",
              vision.window_size, " is smaller than one image token (", vision.merge_size * vision.patch_size,
              " pixels)");
  return vision;
}

WindowLayout window_layout(std::span<const GridThw> grids, const VisionConfig& config) {
  WindowLayout layout{.merged_order = {}, .window_boundaries = {0}, .frame_boundaries = {0}};
  const auto window = config.window_size / config.merge_size / config.patch_size;  // in merged tokens
  const auto unit = config.merge_size * config.merge_size;
  int64_t offset = 0;
  for (const auto& [frames, height, width] : grids) {
    const auto rows = height / config.merge_size, columns = width / config.merge_size;
    for (int64_t frame = 0; frame < frames; ++frame, offset += rows * columns) {
      for (int64_t top = 0; top < rows; top += window)
        for (int64_t left = 0; left < columns; left += window) {
          const auto bottom = std::min(top + window, rows), right = std::min(left + window, columns);
          for (int64_t row = top; row < bottom; ++row)
            for (int64_t column = left; column < right; ++column)
              layout.merged_order.push_back(offset + row * columns + column);
          layout.window_boundaries.push_back(layout.window_boundaries.back() + (bottom - top) * (right - left) * unit);
        }
      layout.frame_boundaries.push_back(layout.frame_boundaries.back() + height * width);
    }
  }
  return layout;
}

at::Tensor patch_positions(std::span<const GridThw> grids, int64_t merge_size) {
  std::vector<int64_t> positions;
  for (const auto& [frames, height, width] : grids)
    for (int64_t frame = 0; frame < frames; ++frame)
      for (int64_t top = 0; top < height; top += merge_size)
        for (int64_t left = 0; left < width; left += merge_size)
          for (int64_t row = top; row < top + merge_size; ++row)
            for (int64_t column = left; column < left + merge_size; ++column) {
              positions.push_back(row);
              positions.push_back(column);
            }
  return at::tensor(positions, at::kLong).view({-1, 2});
}

VisionTower::VisionTower(core::ParameterRegistry& registry, const VisionConfig& config) : config_(config) {
  using modules::create_linear;
  using modules::create_rms_norm;
  constexpr auto tower = core::Part::vision_tower, connector = core::Part::connector;
  const auto width = config.width, head_width = width / config.heads;
  patch_embedding_.weight = registry.create(
      {width, config.patch_elements()}, tower,
      {{.name = "visual.patch_embed.proj.weight",
        .begin = 0,
        .rows = width,
        .shape = {width, config.channels, config.temporal_patch_size, config.patch_size, config.patch_size}}});
  for (int64_t i = 0; i < config.depth; ++i) {
    const auto name = "visual.blocks." + std::to_string(i);
    blocks_.push_back(
        {.attention_norm = create_rms_norm(registry, tower, name + ".norm1", width, kNormEpsilon),
         .attention = {.query_key_value =
                           create_linear(registry, tower, {name + ".attn.qkv"}, {3 * width}, width, true),
                       .output = create_linear(registry, tower, {name + ".attn.proj"}, {width}, width, true),
                       .heads = config.heads,
                       .kv_heads = config.heads,
                       .head_width = head_width},
         .mlp_norm = create_rms_norm(registry, tower, name + ".norm2", width, kNormEpsilon),
         .mlp = {
             .gate_up = create_linear(registry, tower, {name + ".mlp.gate_proj", name + ".mlp.up_proj"},
                                      {config.intermediate, config.intermediate}, width, true),
             .down = create_linear(registry, tower, {name + ".mlp.down_proj"}, {width}, config.intermediate, true)}});
  }
  const auto merged = width * config.merge_size * config.merge_size;
  merger_norm_ = create_rms_norm(registry, connector, "visual.merger.ln_q", width, kNormEpsilon);
  merger_first_ = create_linear(registry, connector, {"visual.merger.mlp.0"}, {merged}, merged, true);
  merger_second_ = create_linear(registry, connector, {"visual.merger.mlp.2"}, {config.output_width}, merged, true);
}

at::Tensor VisionTower::operator()(const at::Tensor& patches, std::span<const GridThw> grids, bool checkpointing,
                                   core::Taps* taps) const {
  const auto unit = config_.merge_size * config_.merge_size;
  const auto layout = window_layout(grids, config_);
  core::check_shape(patches, {layout.frame_boundaries.back(), config_.patch_elements()}, "encode_images.patches");

  const auto order = at::tensor(layout.merged_order, at::kLong);                      // [M]
  const auto patch_order = (order.unsqueeze(1) * unit + at::arange(unit)).flatten();  // [P]
  const auto head_width = config_.width / config_.heads;
  const auto frequencies = modules::rotary_frequencies(head_width / 2, kRotaryTheta);  // [H/4]
  const auto positions = patch_positions(grids, config_.merge_size);                   // [P, 2]
  const auto angles = (positions.to(at::kFloat).unsqueeze(2) * frequencies).flatten(1).index_select(0, patch_order);
  const modules::RotaryAngles rotary{.cos = angles.cos(), .sin = angles.sin()};  // [P, H/2]

  auto x = patch_embedding_(patches);  // [P, D]
  core::tap(taps, "vision.patch_embed", x);
  x = x.index_select(0, patch_order);
  const auto windows = std::make_shared<modules::SegmentContext>(layout.window_boundaries, /*causal=*/false);
  const auto frames = std::make_shared<modules::SegmentContext>(layout.frame_boundaries, /*causal=*/false);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto& full = config_.full_attention_blocks;
    const auto layer = static_cast<int64_t>(i);
    const auto& context = std::find(full.begin(), full.end(), layer) != full.end() ? frames : windows;
    x = checkpointing ? modules::checkpoint(blocks_[i], x, rotary, layer, context)
                      : blocks_[i](x, rotary, layer, *context);
  }
  core::tap(taps, "vision.last_hidden_state", x);
  x = merger_norm_(x).view({-1, config_.width * unit});  // [M, D unit]
  x = merger_second_(at::gelu(merger_first_(x)));
  const auto merged = x.index_select(0, order.argsort());
  core::tap(taps, "vision.merged", merged);
  return merged;
}

}  // namespace sightloop::models
