#include <ATen/ATen.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "checkpoint/safetensors.h"
#include "engine/engine.h"

namespace sightloop::engine {
namespace {

const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};  // readers of the format ask for it

std::filesystem::path weights_file(const std::string& folder) {
  return std::filesystem::path(folder) / "model.safetensors";
}
std::filesystem::path moments_file(const std::string& folder) {
  return std::filesystem::path(folder) / "optimizer.safetensors";
}

int64_t bytes_of(const models::Model& model, bool trainable_only) {
  return model.parameters().num_elements(trainable_only) * static_cast<int64_t>(sizeof(float));
}

// "VmRSS" or "VmHWM" of this process, bytes; 0 where the system does not tell.
int64_t resident_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

int64_t physical_memory() { return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE); }

}  // namespace

void Engine::save_model(const std::string& folder) const {
  checkpoint::write_safetensors(weights_file(folder), models::named_tensors(*policy_), kMetadata);
  const auto path = std::filesystem::path(folder) / "config.json";
  std::ofstream config(path);
  config << config_.dump(2) << "\n";
  config.close();
  TORCH_CHECK(config.good(), path.string(), ": cannot be written. Check free space and permissions.");
}

void Engine::save_state(const std::string& folder) const {
  checkpoint::write_safetensors(weights_file(folder), models::named_tensors(*policy_), kMetadata);
  auto metadata = kMetadata;
  metadata["steps"] = std::to_string(optimizer_->steps());
  checkpoint::write_safetensors(moments_file(folder), optimizer_->state(), metadata);
}

void Engine::load_state(const std::string& folder) {
  const at::NoGradGuard no_grad;
  models::fill(*policy_, checkpoint::SafetensorsFile(weights_file(folder)).tensors(), weights_file(folder).string());
  const checkpoint::SafetensorsFile moments(moments_file(folder));
  const auto steps = moments.metadata().find("steps");
  TORCH_CHECK(steps != moments.metadata().end(), moments_file(folder).string(),
              ": lacks the counter \"steps\". Resume from another checkpoint.");
  int64_t count = -1;
  const auto& text = steps->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  TORCH_CHECK(error == std::errc() && end == text.data() + text.size() && count >= 0, moments_file(folder).string(),
              ": its counter \"steps\" is \"", text, "\". Resume from another checkpoint.");
  optimizer_->restore(moments.tensors(), count);
  ++weights_version_;
}

MemoryUse Engine::memory() const {
  int64_t gradients = 0;
  for (const auto& parameter : policy_->parameters().all())
    if (parameter.value.grad().defined()) gradients += static_cast<int64_t>(parameter.value.grad().nbytes());
  int64_t kv_bytes = 0;
  for (const auto& session : sessions_)
    if (const auto open = session.lock()) kv_bytes += open->cache_bytes();
  const bool own_reference = reference_ && !options_.reference_path.empty();
  return {.weights_bytes = bytes_of(*policy_, false),
          .reference_bytes = reference_ ? bytes_of(*policy_, /*trainable_only=*/!own_reference) : 0,
          .optimizer_bytes = optimizer_->bytes(),
          .gradient_bytes = gradients,
          .kv_cache_bytes = kv_bytes,
          .image_cache_bytes = images_.bytes(),
          .rss_bytes = resident_bytes("VmRSS"),
          .peak_rss_bytes = resident_bytes("VmHWM")};
}

int64_t init_model(const std::string& folder, uint64_t seed) {
  const auto model = models::create(folder, seed, physical_memory());
  checkpoint::write_safetensors(weights_file(folder), models::named_tensors(*model), kMetadata);
  return model->parameters().num_elements(/*trainable_only=*/false);
}

}  // namespace sightloop::engine
