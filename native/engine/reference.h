#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/options.h"
#include "models/load.h"
#include "models/lora.h"
#include "models/model.h"

namespace sightloop::engine {

// The frozen model that the policy is compared with: its weights as they are now, or those of a folder. With offload_reference,
// what it does not share with the policy rests in host memory between uses.
class Reference {
 public:
  Reference(const EngineOptions& options, const models::Model& policy, const nlohmann::json& config,
            const std::optional<models::Lora>& lora, const models::Progress& progress);

  // A model to compute with. One that rests is brought to the device, and lets go of the device's memory with what is returned.
  std::shared_ptr<const models::Model> awake() const;
  // Where its weights lie between uses, those that it shares with the policy included.
  const models::Model& resting() const { return *resting_; }

 private:
  std::shared_ptr<models::Model> resting_;
  nlohmann::json config_;
  std::optional<models::Lora> lora_;  // of an adapter of its own
  models::Storage storage_;
  kernels::Products products_;
  bool offloaded_;
};

}  // namespace sightloop::engine
