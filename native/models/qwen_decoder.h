#pragma once
#include <vector>

#include "models/config.h"
#include "models/model.h"
#include "modules/modules.h"

// The decoder that Qwen2-VL (arXiv:2409.12191) and Qwen2.5-VL (arXiv:2502.13923) share: Qwen2 with multimodal rotary
// positions. T tokens, D model width, V vocabulary, H head width.
namespace sightloop::models {

struct DecoderConfig {
  int64_t width, intermediate, layers, heads, kv_heads, vocabulary, max_positions;
  double norm_epsilon, rotary_theta;
  std::vector<int64_t> rotary_sections;
  bool tied;  // the embeddings are the head, too

  int64_t head_width() const { return width / heads; }
};
// Published checkpoints are flat with rope_theta and rope_scaling; newer ones nest text_config and rope_parameters.
DecoderConfig read_decoder_config(const ConfigReader& root);

class QwenDecoder {
 public:
  QwenDecoder(core::ParameterRegistry& registry, const DecoderConfig& config);

  //   token_ids [T] int64   image_features [M, D] for the rows that hold `image_token_id`, or undefined   returns [T, D]
  at::Tensor embed(const at::Tensor& token_ids, const at::Tensor& image_features, int64_t image_token_id) const;
  //   embeddings [T, D]   positions [3, T] int64   returns hidden states after the final norm [T, D]
  at::Tensor forward(const at::Tensor& embeddings, const at::Tensor& positions, core::AttentionContext& context,
                     const modules::BlockOptions& options, core::Taps* taps) const;
  const modules::Linear& head() const { return head_; }
  const std::vector<ParameterRange>& block_parameters() const { return block_parameters_; }
  void visit_linears(const std::function<void(modules::Linear&)>& visit);

 private:
  at::Tensor embeddings_;  // [V, D]
  std::vector<modules::Block> blocks_;
  std::vector<ParameterRange> block_parameters_;
  modules::RmsNorm norm_;
  modules::Linear head_;  // [V, D]
  modules::RotaryTable rotary_;
};

}  // namespace sightloop::models
