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

class FileMap;

// Hears of every piece as it is copied out of, or written to, a file.
using BytesDone = std::function<void(int64_t bytes)>;

// Reads one safetensors file by memory map. Tensors are views of the map and keep it alive.
// Every error names the file, what is wrong and what to do (c10::Error).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Copies a tensor into `target` (contiguous, as many elements), converting its dtype. Goes piece by piece and gives
  // the map's pages back behind itself, so that little more memory is resident than `target` takes.
  void copy_out(const std::string& name, const at::Tensor& target, const BytesDone& copied) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<const FileMap> map_;
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The weights of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json names, which
// must hold what it says and nothing twice. Only headers are read.
std::vector<SafetensorsFile> open_folder(const std::filesystem::path& folder);

// A tensor to write. `make` is called when its turn comes, and gives any strides and any device.
struct OutgoingTensor {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> make;
};

// Writes a new file beside `path`, syncs it, and renames it onto `path`.
void write_safetensors(const std::filesystem::path& path, const std::vector<OutgoingTensor>& tensors,
                       const std::map<std::string, std::string>& metadata, const BytesDone& written = {});
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace sightloop::checkpoint
