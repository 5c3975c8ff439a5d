#include "models/qwen2_5_vl_vision.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "modules/contexts.h"

namespace sightloop::models {
namespace {

constexpr double kNormEpsilon = 1e-6;  // fixed in the reference

}  // namespace

Qwen25VlVisionConfig read_qwen25_vl_vision_config(const ConfigReader& config) {
  config.expect("hidden_act", "silu");
  Qwen25VlVisionConfig vision{.depth = config.positive("depth"),
                              .width = config.positive("hidden_size"),
                              .heads = config.positive("num_heads"),
                              .intermediate = config.positive("intermediate_size"),
                              .output_width = config.positive("out_hidden_size"),
                              .window_size = config.positive("window_size"),
                              .patches = read_patch_config(config),
                              .full_attention_blocks = config.integers("fullatt_block_indexes")};
  TORCH_CHECK(vision.width % (4 * vision.heads) == 0, "config.json: vision_config: hidden_size ", vision.width,
              " must be a multiple of 4 x num_heads ", vision.heads);
  const auto token = vision.patches.merge_size * vision.patches.patch_size;
  TORCH_CHECK(vision.window_size >= token, "config.json: vision_config: window_size ", vision.window_size,
              " is smaller than one image token (", token, " pixels)");
  return vision;
}

WindowLayout window_layout(std::span<const GridThw> grids, const Qwen25VlVisionConfig& config) {
  WindowLayout layout{.merged_order = {}, .window_boundaries = {0}};
  const auto merge_size = config.patches.merge_size, unit = config.patches.merged();
  const auto window = config.window_size / merge_size / config.patches.patch_size;  // in merged tokens
  int64_t offset = 0;
  for (const auto& [frames, height, width] : grids) {
    const auto rows = height / merge_size, columns = width / merge_size;
    for (int64_t frame = 0; frame < frames; ++frame, offset += rows * columns)
      for (int64_t top = 0; top < rows; top += window)
        for (int64_t left = 0; left < columns; left += window) {
          const auto bottom = std::min(top + window, rows), right = std::min(left + window, columns);
          for (int64_t row = top; row < bottom; ++row)
            for (int64_t column = left; column < right; ++column)
              layout.merged_order.push_back(offset + row * columns + column);
          layout.window_boundaries.push_back(layout.window_boundaries.back() + (bottom - top) * (right - left) * unit);
        }
  }
  return layout;
}

Qwen25VlVisionTower::Qwen25VlVisionTower(core::ParameterRegistry& registry, const Config& config) : config_(config) {
  using modules::create_linear;
  using modules::create_rms_norm;
  constexpr auto tower = core::Part::vision_tower, connector = core::Part::connector;
  const auto width = config.width, head_width = width / config.heads;
  patch_embedding_ = create_patch_embedding(registry, config.patches, width);
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
  const auto merged = width * config.patches.merged();
  merger_norm_ = create_rms_norm(registry, connector, "visual.merger.ln_q", width, kNormEpsilon);
  merger_first_ = create_linear(registry, connector, {"visual.merger.mlp.0"}, {merged}, merged, true);
  merger_second_ = create_linear(registry, connector, {"visual.merger.mlp.2"}, {config.output_width}, merged, true);
}

void Qwen25VlVisionTower::visit_linears(const std::function<void(modules::Linear&)>& visit) {
  for (auto& [attention_norm, attention, mlp_norm, mlp] : blocks_)
    for (auto* linear : {&attention.query_key_value, &attention.output, &mlp.gate_up, &mlp.down}) visit(*linear);
  for (auto* linear : {&patch_embedding_, &merger_first_, &merger_second_}) visit(*linear);
}

at::Tensor Qwen25VlVisionTower::operator()(const at::Tensor& patches, std::span<const GridThw> grids,
                                           const modules::BlockOptions& options, core::Taps* taps) const {
  const auto unit = config_.patches.merged();
  const auto layout = window_layout(grids, config_);
  const auto frame_bounds = frame_boundaries(grids);
  core::check_shape(patches, {frame_bounds.back(), config_.patches.elements()}, "encode_images.patches");

  const auto order = at::tensor(layout.merged_order, at::kLong);                      // [M]
  const auto patch_order = (order.unsqueeze(1) * unit + at::arange(unit)).flatten();  // [P]
  const auto positions = patch_positions(grids, config_.patches.merge_size).index_select(0, patch_order);
  const auto device = patch_embedding_.weight.device();
  const auto rotary = patch_rotary(positions, config_.width / config_.heads, device);

  auto x = patch_embedding_(patches.to(device, patch_embedding_.weight.scalar_type()));  // [P, D]
  core::tap(taps, "vision.patch_embed", x);
  x = x.index_select(0, patch_order.to(device));
  const auto context = [](std::span<const int64_t> boundaries) {
    return std::make_shared<modules::PackedContext>(kernels::segment_layout(boundaries, /*causal=*/false));
  };
  const auto windows = context(layout.window_boundaries), frames = context(frame_bounds);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto& full = config_.full_attention_blocks;
    const auto layer = static_cast<int64_t>(i);
    const bool sees_all = std::find(full.begin(), full.end(), layer) != full.end();
    x = modules::run_block(blocks_[i], x, rotary, layer, sees_all ? frames : windows, options);
  }
  core::tap(taps, "vision.last_hidden_state", x);
  x = merger_norm_(x).view({-1, config_.width * unit});  // [M, D unit]
  x = merger_second_(kernels::gelu(merger_first_(x)));
  const auto merged = x.index_select(0, order.argsort().to(device));
  core::tap(taps, "vision.merged", merged);
  return merged;
}

}  // namespace sightloop::models
