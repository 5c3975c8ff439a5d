#include "engine/reference.h"

#include <ATen/ATen.h>

#include "core/pinned_memory.h"

namespace sightloop::engine {
namespace {

using Source = core::ParameterRegistry::Source;

Source memory_at_rest(const models::Storage& storage, bool offloaded) {
  if (!offloaded) return [=](at::IntArrayRef shape, size_t) { return at::empty(shape, storage.options()); };
  return [memory = std::make_shared<core::PinnedMemory>(storage.device), dtype = storage.dtype](
             at::IntArrayRef shape, size_t) { return memory->empty(shape, dtype); };
}

}  // namespace

// Of the policy as it is now, what is not trained is shared. A new adapter changes nothing, so that the base without one is the
// same; of an adapter that was loaded a copy is kept, beside what it is added to.
Reference::Reference(const EngineOptions& options, const models::Model& policy, const nlohmann::json& config,
                     const std::optional<models::Lora>& lora, const models::Progress& progress)
    : storage_(options.storage), products_(options.products), offloaded_(options.offload_reference) {
  const auto memory = memory_at_rest(storage_, offloaded_);
  if (!options.reference_path.empty()) {
    config_ = models::read_config(options.reference_path);
    resting_ = models::load(options.reference_path, memory, progress);
    TORCH_CHECK(resting_->spec().vocab_size == policy.spec().vocab_size, options.reference_path,
                ": the reference has another vocabulary (", resting_->spec().vocab_size, ") than the policy (",
                policy.spec().vocab_size, ")");
  } else {
    config_ = config;
    resting_ = models::frozen_copy(policy, config, memory);
    if (lora && !options.lora->path.empty()) {
      lora_ = lora;
      models::add_lora(*resting_, *lora);
      models::AdapterFolder(options.lora->path, *resting_).fill(*resting_);
    }
  }
  resting_->set_products(products_);
}

std::shared_ptr<const models::Model> Reference::awake() const {
  if (!offloaded_) return resting_;
  const at::NoGradGuard no_grad;
  const auto& parameters = resting_->parameters().all();
  const auto there = [&](size_t index) {
    return parameters.at(index).value.to(storage_.device, /*non_blocking=*/true);
  };
  const std::shared_ptr<models::Model> model =
      models::build(config_, [&](at::IntArrayRef, size_t index) { return there(index); });
  auto& awake = model->parameters().all();
  const auto of_checkpoint = awake.size();
  if (lora_) models::add_lora(*model, *lora_);
  for (size_t i = of_checkpoint; i < awake.size(); ++i) awake[i].value.copy_(parameters.at(i).value);
  model->set_products(products_);
  return model;
}

}  // namespace sightloop::engine
