#include <ATen/ATen.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "checkpoint/safetensors.h"
#include "core/device.h"
#include "core/stop.h"
#include "engine/engine.h"

namespace sightloop::engine {
namespace {

const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};  // readers of the format ask for it

std::filesystem::path weights_file(const std::string& folder) {
  return std::filesystem::path(folder) / "model.safetensors";
}
// In place of the weights' file where the base stays as it is.
std::filesystem::path trained_file(const std::string& folder) {
  return std::filesystem::path(folder) / "trained.safetensors";
}
// One file, or one of each rank.
std::filesystem::path moments_file(const std::string& folder, int rank, int files) {
  char name[64] = "optimizer.safetensors";
  if (files > 1) std::snprintf(name, sizeof(name), "optimizer-%05d-of-%05d.safetensors", rank + 1, files);
  return std::filesystem::path(folder) / name;
}

// Those of however many ranks wrote them.
std::vector<checkpoint::SafetensorsFile> open_moments(const std::string& folder) {
  int files = 1;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    int rank = 0, of = 0;
    if (std::sscanf(entry.path().filename().c_str(), "optimizer-%d-of-%d.safetensors", &rank, &of) == 2) files = of;
  }
  std::vector<checkpoint::SafetensorsFile> opened;
  for (int rank = 0; rank < files; ++rank) opened.emplace_back(moments_file(folder, rank, files));
  return opened;
}

int64_t bytes_of(const models::Model& model) {
  int64_t bytes = 0;
  for (const auto& parameter : model.parameters().all()) bytes += static_cast<int64_t>(parameter.value.nbytes());
  return bytes;
}

// Of the parameters whose memory is not `other`'s.
int64_t bytes_apart(const models::Model& model, const models::Model& other) {
  std::set<const void*> shared;
  for (const auto& parameter : other.parameters().all()) shared.insert(parameter.value.const_data_ptr());
  int64_t bytes = 0;
  for (const auto& parameter : model.parameters().all())
    if (!shared.contains(parameter.value.const_data_ptr())) bytes += static_cast<int64_t>(parameter.value.nbytes());
  return bytes;
}

// Of a few values of every frozen parameter, FNV-1a: tells one base from another.
std::string fingerprint(const models::Model& model) {
  constexpr int64_t kSamples = 64;
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const auto& parameter : model.parameters().all()) {
    if (parameter.trainable) continue;
    const auto flat = parameter.value.detach().flatten();
    const auto stride = std::max<int64_t>(1, flat.numel() / kSamples);
    const auto samples = flat.slice(0, 0, flat.numel(), stride).to(at::kCPU, at::kFloat).contiguous();
    const auto* bytes = static_cast<const unsigned char*>(samples.const_data_ptr());
    for (size_t i = 0; i < samples.nbytes(); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
  }
  return std::to_string(hash);
}

// Says in config.json, wherever it speaks of it, what the weights are stored as: readers convert to what it says.
void set_dtype(nlohmann::json& config, at::ScalarType dtype) {
  const char* name = dtype == at::kFloat ? "float32" : "bfloat16";
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key)) config[key] = name;
  for (const char* key : {"text_config", "vision_config"})
    if (config.contains(key) && config[key].is_object()) set_dtype(config[key], dtype);
}

void write_config(const std::filesystem::path& folder, const nlohmann::json& config) {
  const auto path = folder / "config.json";
  std::ofstream stream(path);
  stream << config.dump(2) << "\n";
  stream.close();
  TORCH_CHECK(stream.good(), path.string(), ": cannot be written. Check free space and permissions.");
}

// A whole number out of a file's metadata.
int64_t counter(const checkpoint::SafetensorsFile& file, const std::string& path, const std::string& name) {
  const auto found = file.metadata().find(name);
  TORCH_CHECK(found != file.metadata().end(), path, ": lacks the counter \"", name,
              "\". Resume from another checkpoint.");
  int64_t count = -1;
  const auto& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  TORCH_CHECK(error == std::errc() && end == text.data() + text.size() && count >= 0, path, ": its counter \"", name,
              "\" is \"", text, "\". Resume from another checkpoint.");
  return count;
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
  check_whole();
  checkpoint::write_safetensors(weights_file(folder), models::merged_tensors(*policy_), kMetadata);
  auto config = config_;
  set_dtype(config, policy_->dtype());
  write_config(folder, config);
}

void Engine::save_adapter(const std::string& folder) const {
  TORCH_CHECK(lora_, "saveAdapter: this engine has no adapter. Open it with lora.");
  check_whole();
  models::save_adapter(folder, *policy_, *lora_, options_.model_path);
}

void Engine::save_state(const std::string& folder) const {
  check_whole();
  auto metadata = kMetadata;
  if (ranks_->rank() > 0) {
    // The first writes what all have.
  } else if (lora_) {
    metadata["base"] = fingerprint(*policy_);
    checkpoint::write_safetensors(trained_file(folder), models::named_tensors(*policy_, models::is_trained), metadata);
  } else {
    checkpoint::write_safetensors(weights_file(folder), models::named_tensors(*policy_, models::in_checkpoint),
                                  metadata);
  }
  metadata["steps"] = std::to_string(optimizer_->steps());
  metadata["consecutive_skips"] = std::to_string(optimizer_->consecutive_skips());
  const int files = optimizer_->sharded() ? ranks_->world_size() : 1;
  if (ranks_->rank() < files)
    checkpoint::write_safetensors(moments_file(folder, ranks_->rank(), files), optimizer_->state(), metadata);
}

void Engine::load_state(const std::string& folder, const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  check_whole();
  weights_change();
  const checkpoint::SafetensorsFile weights(lora_ ? trained_file(folder) : weights_file(folder));
  if (lora_) {
    const auto base = weights.metadata().find("base");
    TORCH_CHECK(base != weights.metadata().end() && base->second == fingerprint(*policy_), weights.path().string(),
                ": was trained beside other weights than those in ", options_.model_path,
                ". Put the base model back there that the run was started with.");
  }
  models::fill(*policy_, {&weights, 1}, weights.path().string(), {},
               lora_ ? models::is_trained : models::in_checkpoint);
  const auto files = open_moments(folder);
  std::map<std::string, at::Tensor> moments;
  for (const auto& file : files) moments.insert(file.tensors().begin(), file.tensors().end());
  const auto count = [&](const std::string& name) { return counter(files[0], files[0].path().string(), name); };
  optimizer_->restore(moments, count("steps"), count("consecutive_skips"), stop);
}

MemoryUse Engine::memory() const {
  int64_t gradients = 0;
  for (const auto& parameter : policy_->parameters().all())
    if (parameter.gradient().defined()) gradients += static_cast<int64_t>(parameter.gradient().nbytes());
  int64_t kv_bytes = 0;
  for (const auto& session : sessions_)
    if (const auto open = session.lock()) kv_bytes += open->cache_bytes();
  const auto on_device = core::device_use(policy_->device()).value_or(core::DeviceUse{});
  return {.weights_bytes = bytes_of(*policy_),
          .reference_bytes = reference_ ? bytes_apart(reference_->resting(), *policy_) : 0,
          .optimizer_bytes = optimizer_->bytes(),
          .gradient_bytes = gradients,
          .kv_cache_bytes = kv_bytes,
          .image_cache_bytes = images_.bytes(),
          .rss_bytes = resident_bytes("VmRSS"),
          .peak_rss_bytes = resident_bytes("VmHWM"),
          .device_bytes = on_device.bytes,
          .peak_device_bytes = on_device.peak_bytes};
}

int64_t init_model(const std::string& folder, uint64_t seed, at::ScalarType dtype, const models::Progress& progress) {
  auto config = models::read_config(folder);
  const auto memory = physical_memory();
  const auto model =
      models::build(config, models::at_most(memory / static_cast<int64_t>(c10::elementSize(dtype)),
                                            (std::filesystem::path(folder) / "config.json").string() +
                                                ": the model is larger than this machine's " +
                                                std::to_string(memory >> 20) + " MiB of memory. Lower its sizes.",
                                            models::without_storage(dtype)));
  const auto range = model->spec().initializer_range;
  std::vector<checkpoint::OutgoingTensor> tensors;
  for (const auto& parameter : model->parameters().all())
    for (const auto& slice : parameter.slices)
      tensors.push_back(
          {.name = slice.name, .dtype = dtype, .shape = slice.shape, .make = [&slice, range, seed, dtype] {
             return models::initial_values(slice, range, seed).to(dtype);
           }});
  const auto parameters = model->parameters().num_elements(/*trainable_only=*/false);
  const auto total = parameters * static_cast<int64_t>(c10::elementSize(dtype));
  checkpoint::write_safetensors(weights_file(folder), tensors, kMetadata,
                                [&, done = int64_t{0}](int64_t bytes) mutable {
                                  done += bytes;
                                  if (progress) progress(done, total);
                                });
  set_dtype(config, dtype);
  write_config(folder, config);
  return parameters;
}

}  // namespace sightloop::engine
