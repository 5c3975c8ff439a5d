#include "models/qwen2_vl_vision.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "modules/contexts.h"

namespace sightloop::models {
namespace {

constexpr double kNormEpsilon = 1e-6;  // fixed in the reference

}  // namespace

// Here, unlike in Qwen2.5-VL, embed_dim is the tower's width and hidden_size the decoder's.
Qwen2VlVisionConfig read_qwen2_vl_vision_config(const ConfigReader& config) {
  config.expect("hidden_act", "quick_gelu");
  const auto width = config.positive("embed_dim");
  const Qwen2VlVisionConfig vision{.depth = config.positive("depth"),
                                   .width = width,
                                   .heads = config.positive("num_heads"),
                                   .intermediate = static_cast<int64_t>(width * config.number("mlp_ratio", 4)),
                                   .output_width = config.positive("hidden_size"),
                                   .patches = read_patch_config(config)};
  TORCH_CHECK(width % (4 * vision.heads) == 0, "config.json: vision_config: embed_dim ", width,
              " must be a multiple of 4 x num_heads ", vision.heads);
  TORCH_CHECK(vision.intermediate > 0, "config.json: vision_config: mlp_ratio must be positive");
  return vision;
}

Qwen2VlVisionTower::Qwen2VlVisionTower(core::ParameterRegistry& registry, const Config& config) : config_(config) {
  using modules::create_layer_norm;
  using modules::create_linear;
  constexpr auto tower = core::Part::vision_tower, connector = core::Part::connector;
  const auto width = config.width;
  patch_embedding_ = create_patch_embedding(registry, config.patches, width);
  for (int64_t i = 0; i < config.depth; ++i) {
    const auto name = "visual.blocks." + std::to_string(i);
    blocks_.push_back(
        {.attention_norm = create_layer_norm(registry, tower, name + ".norm1", width, kNormEpsilon),
         .attention = {.query_key_value =
                           create_linear(registry, tower, {name + ".attn.qkv"}, {3 * width}, width, true),
                       .output = create_linear(registry, tower, {name + ".attn.proj"}, {width}, width, true),
                       .heads = config.heads,
                       .kv_heads = config.heads,
                       .head_width = width / config.heads},
         .mlp_norm = create_layer_norm(registry, tower, name + ".norm2", width, kNormEpsilon),
         .mlp = {.up = create_linear(registry, tower, {name + ".mlp.fc1"}, {config.intermediate}, width, true),
                 .down = create_linear(registry, tower, {name + ".mlp.fc2"}, {width}, config.intermediate, true)}});
  }
  const auto merged = width * config.patches.merged();
  merger_norm_ = create_layer_norm(registry, connector, "visual.merger.ln_q", width, kNormEpsilon);
  merger_first_ = create_linear(registry, connector, {"visual.merger.mlp.0"}, {merged}, merged, true);
  merger_second_ = create_linear(registry, connector, {"visual.merger.mlp.2"}, {config.output_width}, merged, true);
}

void Qwen2VlVisionTower::visit_linears(const std::function<void(modules::Linear&)>& visit) {
  for (auto& [attention_norm, attention, mlp_norm, mlp] : blocks_)
    for (auto* linear : {&attention.query_key_value, &attention.output, &mlp.up, &mlp.down}) visit(*linear);
  for (auto* linear : {&patch_embedding_, &merger_first_, &merger_second_}) visit(*linear);
}

at::Tensor Qwen2VlVisionTower::operator()(const at::Tensor& patches, std::span<const GridThw> grids,
                                          const modules::BlockOptions& options, core::Taps* taps) const {
  const auto frames = frame_boundaries(grids);
  core::check_shape(patches, {frames.back(), config_.patches.elements()}, "encode_images.patches");
  const auto device = patch_embedding_.weight.device();
  const auto rotary =
      patch_rotary(patch_positions(grids, config_.patches.merge_size), config_.width / config_.heads, device);
  const auto context = std::make_shared<modules::PackedContext>(kernels::segment_layout(frames, /*causal=*/false));

  auto x = patch_embedding_(patches.to(device, patch_embedding_.weight.scalar_type()));  // [P, D]
  core::tap(taps, "vision.patch_embed", x);
  for (size_t i = 0; i < blocks_.size(); ++i)
    x = modules::run_block(blocks_[i], x, rotary, static_cast<int64_t>(i), context, options);
  core::tap(taps, "vision.last_hidden_state", x);
  x = merger_norm_(x).view({-1, config_.width * config_.patches.merged()});  // [M, D merged]
  x = merger_second_(kernels::gelu(merger_first_(x)));
  core::tap(taps, "vision.merged", x);
  return x;
}

}  // namespace sightloop::models
