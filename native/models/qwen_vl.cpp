#include "models/qwen_vl.h"

#include <c10/util/Exception.h>

namespace sightloop::models {

ModelSpec qwen_vl_spec(const ConfigReader& root, const DecoderConfig& decoder, const PatchConfig& patches,
                       int64_t connector_width, const char* width_key) {
  const auto text = root.nested_or_self("text_config");
  TORCH_CHECK(connector_width == decoder.width, "config.json: vision_config.", width_key, " ", connector_width,
              " must equal hidden_size ", decoder.width);
  const auto image_token = root.positive("image_token_id");
  TORCH_CHECK(image_token < decoder.vocabulary, "config.json: image_token_id ", image_token,
              " is outside the vocabulary of ", decoder.vocabulary);
  return {.model_type = root.json()["model_type"].get<std::string>(),
          .vocab_size = decoder.vocabulary,
          .hidden_size = decoder.width,
          .num_layers = decoder.layers,
          .num_kv_heads = decoder.kv_heads,
          .head_width = decoder.head_width(),
          .max_position_embeddings = decoder.max_positions,
          .image_token_id = image_token,
          .video_token_id = root.integer("video_token_id", -1),
          .spatial_merge_size = patches.merge_size,
          .patch_elements = patches.elements(),
          .initializer_range = text.number("initializer_range", 0.02)};
}

}  // namespace sightloop::models
