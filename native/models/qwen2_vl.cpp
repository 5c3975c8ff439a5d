#include "models/families.h"
#include "models/qwen2_vl_vision.h"
#include "models/qwen_vl.h"

// Qwen2-VL (arXiv:2409.12191).
namespace sightloop::models {

std::unique_ptr<Model> build_qwen2_vl(const nlohmann::json& json, core::ParameterRegistry::Source source) {
  const ConfigReader root(json, "config.json");
  const auto decoder = read_decoder_config(root);
  const auto vision = read_qwen2_vl_vision_config(root.nested("vision_config"));
  const auto spec = qwen_vl_spec(root, decoder, vision.patches, vision.output_width, "hidden_size");
  return std::make_unique<QwenVl<Qwen2VlVisionTower>>(spec, decoder, vision, std::move(source));
}

}  // namespace sightloop::models
