#include "models/families.h"
#include "models/qwen2_5_vl_vision.h"
#include "models/qwen_vl.h"

// Qwen2.5-VL (arXiv:2502.13923).
namespace sightloop::models {

std::unique_ptr<Model> build_qwen2_5_vl(const nlohmann::json& json, core::ParameterRegistry::Source source) {
  const ConfigReader root(json, "config.json");
  const auto decoder = read_decoder_config(root);
  const auto vision = read_qwen25_vl_vision_config(root.nested("vision_config"));
  const auto spec = qwen_vl_spec(root, decoder, vision.patches, vision.output_width, "out_hidden_size");
  return std::make_unique<QwenVl<Qwen25VlVisionTower>>(spec, decoder, vision, std::move(source));
}

}  // namespace sightloop::models
