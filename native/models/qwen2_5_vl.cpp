#include <ATen/ATen.h>

#include "core/check.h"
#include "models/families.h"
#include "models/qwen2_5_vl_vision.h"

// Qwen2.5-VL (arXiv:2502.13923): vision tower and connector, then a Qwen2.5 decoder with multimodal rotary positions.
// T tokens, D model width, V vocabulary.
namespace sightloop::models {
namespace {

struct LanguageConfig {
  int64_t width, intermediate, layers, heads, kv_heads, vocabulary, max_positions;
  double norm_epsilon, rotary_theta;
  std::vector<int64_t> rotary_sections;
  bool tied;

  int64_t head_width() const { return width / heads; }
};

// Published checkpoints are flat with rope_theta and rope_scaling; newer ones nest text_config and rope_parameters.
LanguageConfig read_language_config(const ConfigReader& root) {
  const auto config = root.nested_or_self("text_config");
  const auto rope = config.has("rope_parameters") ? config.nested("rope_parameters") : config.nested("rope_scaling");
  for (const char* key : {"rope_type", "type"})
    TORCH_CHECK(!rope.has(key) || rope.json()[key] == "default" || rope.json()[key] == "mrope",
                "config.json: rope type ", rope.json()[key].dump(), " is not supported, only \"default\"");
  config.expect("hidden_act", "silu");
  config.expect("use_sliding_window", false);
  LanguageConfig language{.width = config.positive("hidden_size"),
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
  TORCH_CHECK(language.width % language.heads == 0 && language.heads % language.kv_heads == 0,
              "config.json: hidden_size ", language.width, ", num_attention_heads ", language.heads,
              " and num_key_value_heads ", language.kv_heads, " must divide each other in this order");
  int64_t frequencies = 0;
  for (const auto section : language.rotary_sections)
    frequencies += section > 0 && section <= language.width ? section : language.width;
  TORCH_CHECK(2 * frequencies == language.head_width(),
              "config.json: mrope_section must hold positive numbers that sum to half the head width ",
              language.head_width());
  return language;
}

ModelSpec make_spec(const ConfigReader& root, const LanguageConfig& language, const VisionConfig& vision) {
  const auto text = root.nested_or_self("text_config");
  TORCH_CHECK(vision.output_width == language.width, "config.json: vision_config.out_hidden_size ", vision.output_width,
              " must equal hidden_size ", language.width);
  const auto image_token = root.positive("image_token_id");
  TORCH_CHECK(image_token < language.vocabulary, "config.json: image_token_id ", image_token,
              " is outside the vocabulary of ", language.vocabulary);
  return {.model_type = "qwen2_5_vl",
          .vocab_size = language.vocabulary,
          .hidden_size = language.width,
          .num_layers = language.layers,
          .num_kv_heads = language.kv_heads,
          .head_width = language.head_width(),
          .max_position_embeddings = language.max_positions,
          .image_token_id = image_token,
          .video_token_id = root.integer("video_token_id", -1),
          .spatial_merge_size = vision.merge_size,
          .patch_elements = vision.patch_elements(),
          .initializer_range = text.number("initializer_range", 0.02)};
}

class Qwen25Vl : public Model {
 public:
  Qwen25Vl(const ModelSpec& spec, const LanguageConfig& language, const VisionConfig& vision,
           core::ParameterRegistry::Source source)
      : Model(spec, std::move(source)), language_(language), vision_(registry_, vision) {
    using modules::create_linear;
    using modules::create_rms_norm;
    constexpr auto part = core::Part::language_model;
    const auto width = language.width, head_width = language.head_width();
    const auto kv_width = language.kv_heads * head_width;
    embeddings_ = registry_.create({language.vocabulary, width}, part, "model.embed_tokens.weight");
    for (int64_t i = 0; i < language.layers; ++i) {
      const auto name = "model.layers." + std::to_string(i), attention = name + ".self_attn", mlp = name + ".mlp";
      blocks_.push_back(
          {.attention_norm = create_rms_norm(registry_, part, name + ".input_layernorm", width, language.norm_epsilon),
           .attention = {.query_key_value = create_linear(
                             registry_, part, {attention + ".q_proj", attention + ".k_proj", attention + ".v_proj"},
                             {width, kv_width, kv_width}, width, true),
                         .output = create_linear(registry_, part, {attention + ".o_proj"}, {width}, width, false),
                         .heads = language.heads,
                         .kv_heads = language.kv_heads,
                         .head_width = head_width},
           .mlp_norm =
               create_rms_norm(registry_, part, name + ".post_attention_layernorm", width, language.norm_epsilon),
           .mlp = {
               .gate_up = create_linear(registry_, part, {mlp + ".gate_proj", mlp + ".up_proj"},
                                        {language.intermediate, language.intermediate}, width, false),
               .down = create_linear(registry_, part, {mlp + ".down_proj"}, {width}, language.intermediate, false)}});
    }
    norm_ = create_rms_norm(registry_, part, "model.norm", width, language.norm_epsilon);
    head_ = language.tied ? embeddings_ : registry_.create({language.vocabulary, width}, part, "lm_head.weight");
    frequencies_ = modules::rotary_frequencies(head_width, language.rotary_theta);
  }

  at::Tensor encode_images(const at::Tensor& patches, std::span<const GridThw> grids, core::Taps* taps) const override {
    return vision_(patches, grids, taps);
  }

  at::Tensor embed(const at::Tensor& token_ids, const at::Tensor& image_features) const override {
    const auto embedded = at::embedding(embeddings_, token_ids);  // [T, D]
    if (!image_features.defined()) return embedded;
    const auto rows = token_ids.eq(spec_.image_token_id).nonzero().flatten();
    core::check_shape(image_features, {rows.size(0), spec_.hidden_size}, "embed.image_features");
    return embedded.index_copy(0, rows, image_features);
  }

  at::Tensor forward(const at::Tensor& embeddings, const at::Tensor& positions, core::AttentionContext& context,
                     core::Taps* taps) const override {
    const auto angles = modules::multimodal_rotary(positions, frequencies_, language_.rotary_sections);
    auto x = embeddings;
    core::tap(taps, "hidden.0", x);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x, angles, static_cast<int64_t>(i), context);
      if (i + 1 < blocks_.size()) core::tap(taps, "hidden." + std::to_string(i + 1), x);
    }
    x = norm_(x);
    core::tap(taps, "hidden." + std::to_string(blocks_.size()), x);
    return x;
  }

  const at::Tensor& head() const override { return head_; }

 private:
  LanguageConfig language_;
  VisionTower vision_;
  at::Tensor embeddings_;  // [V, D]
  std::vector<modules::Block> blocks_;
  modules::RmsNorm norm_;
  at::Tensor head_;         // [V, D]
  at::Tensor frequencies_;  // [H/2]
};

}  // namespace

std::unique_ptr<Model> build_qwen2_5_vl(const nlohmann::json& json, core::ParameterRegistry::Source source) {
  const ConfigReader root(json, "config.json");
  const auto language = read_language_config(root);
  const auto vision = read_vision_config(root.nested("vision_config"));
  return std::make_unique<Qwen25Vl>(make_spec(root, language, vision), language, vision, std::move(source));
}

}  // namespace sightloop::models
