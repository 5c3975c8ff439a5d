#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sightloop::checkpoint {

// Reads one safetensors file by memory map. Tensors are views of the map and keep it alive.
// Every error names the file, what is wrong and what to do (c10::Error).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// All tensors of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json names.
std::map<std::string, at::Tensor> read_folder(const std::filesystem::path& folder);

// Writes name -> tensor (any strides, any device) to a new file beside `path`, syncs it, and renames it onto `path`.
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace sightloop::checkpoint
