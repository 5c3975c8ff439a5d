#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sightloop::checkpoint {

// adapter_config.json as PEFT writes and reads it, so far as it describes plain LoRA on linear layers.
struct AdapterConfig {
  int64_t rank;
  double alpha;
  bool rslora;  // scale alpha / sqrt(rank) instead of alpha / rank (arXiv:2312.03732)
};

inline constexpr auto kAdapterConfigFile = "adapter_config.json";
inline constexpr auto kAdapterWeightsFile = "adapter_model.safetensors";

// Refuses what changes the result and is not implemented: another kind of adapter, DoRA, ranks that differ, trained biases.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

// `targets`: last parts of the names of the adapted projections, in the layers of the language model only: a vision tower
// may have layers of the same names.
void write_adapter_config(const std::filesystem::path& folder, const AdapterConfig& config,
                          const std::vector<std::string>& targets, const std::string& base_model);

}  // namespace sightloop::checkpoint
