#pragma once
#include "models/qwen_decoder.h"
#include "models/qwen_vision.h"

namespace sightloop::models {

// A Qwen vision tower with its connector, and the decoder.
template <typename Tower>
class QwenVl : public Model {
 public:
  QwenVl(const ModelSpec& spec, const DecoderConfig& decoder, const typename Tower::Config& vision,
         core::ParameterRegistry::Source source)
      : Model(spec, std::move(source)), tower_(registry_, vision), decoder_(registry_, decoder) {}

  at::Tensor encode_images(const at::Tensor& patches, std::span<const GridThw> grids, core::Taps* taps) const override {
    return tower_(patches, grids, {.checkpointing = block_options_.checkpointing}, taps);
  }
  at::Tensor embed(const at::Tensor& token_ids, const at::Tensor& image_features) const override {
    return decoder_.embed(token_ids, image_features, spec_.image_token_id);
  }
  at::Tensor forward(const at::Tensor& embeddings, const at::Tensor& positions, core::AttentionContext& context,
                     core::Taps* taps) const override {
    return decoder_.forward(embeddings, positions, context, block_options_, taps);
  }
  const std::vector<ParameterRange>& block_parameters() const override { return decoder_.block_parameters(); }
  const modules::Linear& head() const override { return decoder_.head(); }
  void visit_linears(const std::function<void(modules::Linear&)>& visit) override { decoder_.visit_linears(visit); }
  void visit_vision_linears(const std::function<void(modules::Linear&)>& visit) override {
    tower_.visit_linears(visit);
  }

 private:
  Tower tower_;
  QwenDecoder decoder_;
};

//   connector_width: of the features that the connector makes; `width_key` is where config.json says so
ModelSpec qwen_vl_spec(const ConfigReader& root, const DecoderConfig& decoder, const PatchConfig& patches,
                       int64_t connector_width, const char* width_key);

}  // namespace sightloop::models
