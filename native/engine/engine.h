#pragma once
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "batches/batches.h"
#include "collectives/process_group.h"
#include "engine/image_store.h"
#include "engine/options.h"
#include "engine/reference.h"
#include "models/load.h"
#include "models/lora.h"
#include "models/model.h"
#include "pipeline/rollout/session.h"
#include "pipeline/trajectory/score.h"
#include "pipeline/update/update.h"

// One copy of the weights that samples and trains. Plain C++: no JavaScript below here. Not thread-safe: one thread at a
// time, the caller queues.
namespace sightloop::engine {

enum class Which { policy, reference };

struct ModelInfo {
  models::ModelSpec spec;
  at::ScalarType dtype;
  int64_t num_parameters, num_trainable_parameters;
};

struct MemoryUse {
  int64_t weights_bytes, reference_bytes, optimizer_bytes, gradient_bytes, kv_cache_bytes, image_cache_bytes;
  int64_t rss_bytes, peak_rss_bytes;
  int64_t device_bytes, peak_device_bytes;  // 0 on the CPU
};

class Engine {
 public:
  // `progress` counts bytes of the weights that are read; it starts again for a reference of its own. All of `ranks` open
  // the same model and make the same updates in the same order.
  explicit Engine(EngineOptions options, const models::Progress& progress = {},
                  std::shared_ptr<collectives::ProcessGroup> ranks = std::make_shared<collectives::SingleProcess>());

  ModelInfo model_info() const;

  data::GridThw add_image(const std::string& id, const uint8_t* rgb, int64_t height, int64_t width);
  data::GridThw add_image(const std::string& id, data::PreparedImage image) {
    return images_.add(id, std::move(image));
  }
  std::vector<std::string> prune_images(const std::set<std::string>& keep) { return images_.prune(keep); }

  // The session reads this engine's weights: it refuses to go on once they have changed.
  std::shared_ptr<rollout::Session> open_rollout(rollout::SamplingOptions options);
  trajectory::Scores score(const batches::RolloutBatch& batch, Which which, double temperature,
                           const std::stop_token& stop);
  //   returns [L] float32
  at::Tensor advantages(const batches::RolloutBatch& batch, const at::Tensor& rewards,
                        const at::Tensor& policy_logprobs, const at::Tensor& reference_logprobs);
  // The order in which the next update takes a batch's groups, in its first epoch; or one that comes `ahead` optimizer steps later.
  std::vector<size_t> update_order(size_t groups, int64_t ahead) const {
    return update::group_order(groups, options_.seed, static_cast<uint64_t>(optimizer_->steps() + ahead), /*epoch=*/0);
  }
  //   own_rows: as update::UpdateOptions
  update::UpdateStats update(const batches::TrajectoryBatch& batch, double temperature, int64_t max_consecutive_skips,
                             std::vector<uint8_t> own_rows, const std::stop_token& stop);

  // With an adapter: merged into the weights.
  void save_model(const std::string& folder) const;
  void save_adapter(const std::string& folder) const;
  // With an adapter, only what is trained: the base is known by samples of its values. Every rank calls it.
  void save_state(const std::string& folder) const;
  // Stopped half way, it leaves weights that are neither the old nor the new: load again, or close.
  void load_state(const std::string& folder, const std::stop_token& stop);

  MemoryUse memory() const;
  // Named activations of one forward pass over each prompt alone.
  std::vector<std::map<std::string, at::Tensor>> inspect(const batches::PromptBatch& prompts);
  // Gradients of the loss over all rows as one minibatch, by checkpoint name; parts that got none are left out.
  std::map<std::string, at::Tensor> inspect_gradients(const batches::TrajectoryBatch& batch, double temperature,
                                                      std::vector<uint8_t> own_rows);

 private:
  update::Learner learner();
  update::UpdateOptions update_options(double temperature, int64_t max_consecutive_skips,
                                       std::vector<uint8_t> own_rows) const;
  void weights_change();
  void check_whole() const;
  void load_weights(const models::Progress& progress);
  bool vision_learns() const { return options_.train_vision_tower || options_.train_connector; }
  void check_tokens(const at::Tensor& token_ids) const;
  batches::PositionsOf positions_of() const;
  batches::FeaturesOf features_of(const models::Model& model);

  EngineOptions options_;
  nlohmann::json config_;
  std::optional<models::Lora> lora_;
  std::unique_ptr<models::Model> policy_;
  std::unique_ptr<Reference> reference_;
  std::shared_ptr<collectives::ProcessGroup> ranks_;
  update::Shards shards_;
  std::unique_ptr<update::Optimizer> optimizer_;
  ImageStore images_;
  std::vector<std::weak_ptr<rollout::Session>> sessions_;  // whose caches count as memory in use
  int64_t weights_version_ = 0;
};

// Fills a folder that holds config.json with random weights, one tensor in memory at a time; returns the number of
// parameters. Progress in bytes.
int64_t init_model(const std::string& folder, uint64_t seed, at::ScalarType dtype, const models::Progress& progress);

}  // namespace sightloop::engine
