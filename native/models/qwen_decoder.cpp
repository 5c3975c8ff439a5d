#include "models/qwen_decoder.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace sightloop::models {

DecoderConfig read_decoder_config(const ConfigReader& root) {
  const auto config = root.nested_or_self("text_config");
  const auto rope = config.has("rope_parameters") ? config.nested("rope_parameters") : config.nested("rope_scaling");
  for (const char* key : {"rope_type", "type"})
    TORCH_CHECK(!rope.has(key) || rope.json()[key] == "default" || rope.json()[key] == "mrope",
                "config.json: rope type ", rope.json()[key].dump(), " is not supported, only \"default\"");
  config.expect("hidden_act", "silu");
  config.expect("use_sliding_window", false);
  DecoderConfig decoder{.width = config.positive("hidden_size"),
                        .intermediate = config.positive("intermediate_size"),
                        .layers = config.positive("num_hidden_layers"),
                        .heads = config.positive("num_attention_heads"),
                        .kv_heads = config.positive("num_key_value_heads"),
                        .vocabulary = config.positive("vocab_size"),
                        .max_positions = config.positive("max_position_embeddings", 32768),
                        .norm_epsilon = config.number("rms_norm_eps", 1e-6),
                        .rotary_theta = rope.number("rope_theta", config.number("rope_theta", 1e6)),
                        .rotary_sections = rope.integers("mrope_section"),
                        .tied = root.boolean("tie_word_embeddings", config.boolean("tie_word_embeddings", false))};
  TORCH_CHECK(decoder.width % decoder.heads == 0 && decoder.heads % decoder.kv_heads == 0, "config.json: hidden_size ",
              decoder.width, ", num_attention_heads ", decoder.heads, " and num_key_value_heads ", decoder.kv_heads,
              " must divide each other in this order");
  int64_t frequencies = 0;
  for (const auto section : decoder.rotary_sections)
    frequencies += section > 0 && section <= decoder.width ? section : decoder.width;
  TORCH_CHECK(2 * frequencies == decoder.head_width(),
              "config.json: mrope_section must hold positive numbers that sum to half the head width ",
              decoder.head_width());
  return decoder;
}

QwenDecoder::QwenDecoder(core::ParameterRegistry& registry, const DecoderConfig& config) {
  using modules::create_linear;
  using modules::create_rms_norm;
  constexpr auto part = core::Part::language_model;
  const auto width = config.width, head_width = config.head_width();
  const auto kv_width = config.kv_heads * head_width;
  embeddings_ = registry.create({config.vocabulary, width}, part, "model.embed_tokens.weight");
  for (int64_t i = 0; i < config.layers; ++i) {
    const auto first = registry.all().size();
    const auto name = "model.layers." + std::to_string(i), attention = name + ".self_attn", mlp = name + ".mlp";
    blocks_.push_back(
        {.attention_norm = create_rms_norm(registry, part, name + ".input_layernorm", width, config.norm_epsilon),
         .attention = {.query_key_value = create_linear(
                           registry, part, {attention + ".q_proj", attention + ".k_proj", attention + ".v_proj"},
                           {width, kv_width, kv_width}, width, true),
                       .output = create_linear(registry, part, {attention + ".o_proj"}, {width}, width, false),
                       .heads = config.heads,
                       .kv_heads = config.kv_heads,
                       .head_width = head_width},
         .mlp_norm = create_rms_norm(registry, part, name + ".post_attention_layernorm", width, config.norm_epsilon),
         .mlp = {.gate_up = create_linear(registry, part, {mlp + ".gate_proj", mlp + ".up_proj"},
                                          {config.intermediate, config.intermediate}, width, false),
                 .down = create_linear(registry, part, {mlp + ".down_proj"}, {width}, config.intermediate, false)}});
    block_parameters_.push_back({.begin = first, .end = registry.all().size()});
  }
  norm_ = create_rms_norm(registry, part, "model.norm", width, config.norm_epsilon);
  head_.weight = config.tied ? embeddings_ : registry.create({config.vocabulary, width}, part, "lm_head.weight");
  rotary_ = modules::rotary_table(head_width, config.rotary_theta, config.rotary_sections, embeddings_.device());
}

void QwenDecoder::visit_linears(const std::function<void(modules::Linear&)>& visit) {
  for (auto& [attention_norm, attention, mlp_norm, mlp] : blocks_)
    for (auto* linear : {&attention.query_key_value, &attention.output, &mlp.gate_up, &mlp.down}) visit(*linear);
  visit(head_);
}

at::Tensor QwenDecoder::embed(const at::Tensor& token_ids, const at::Tensor& image_features,
                              int64_t image_token_id) const {
  const auto embedded = at::embedding(embeddings_, token_ids.to(embeddings_.device()));  // [T, D]
  if (!image_features.defined()) return embedded;
  const auto rows = token_ids.eq(image_token_id).nonzero().flatten().to(embeddings_.device());
  core::check_shape(image_features, {rows.size(0), embedded.size(1)}, "embed.image_features");
  return embedded.index_copy(0, rows, image_features);
}

at::Tensor QwenDecoder::forward(const at::Tensor& embeddings, const at::Tensor& positions,
                                core::AttentionContext& context, const modules::BlockOptions& options,
                                core::Taps* taps) const {
  const auto angles = modules::multimodal_rotary(positions, rotary_);
  const std::shared_ptr<core::AttentionContext> shared(std::shared_ptr<void>(),
                                                       &context);  // the caller's, beyond the backward pass
  auto x = embeddings;
  core::tap(taps, "hidden.0", x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = modules::run_block(blocks_[i], x, angles, static_cast<int64_t>(i), shared, options);
    if (i + 1 < blocks_.size()) core::tap(taps, "hidden." + std::to_string(i + 1), x);
  }
  x = norm_(x);
  core::tap(taps, "hidden." + std::to_string(blocks_.size()), x);
  return x;
}

}  // namespace sightloop::models
