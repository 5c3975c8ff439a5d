#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/dtypes.h"
#include "checkpoint/json.h"
#include "checkpoint/safetensors.h"

namespace sightloop::checkpoint {
namespace {

constexpr auto kCopyAgain = ". Copy or download the file again.";

class Map {
 public:
  explicit Map(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe does not wait for its writer
    TORCH_CHECK(file >= 0, path.string(), ": cannot be opened: ", std::strerror(errno),
                ". Check the path and its permissions.");
    struct stat status {};
    const bool known = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    size_ = known ? static_cast<size_t>(status.st_size) : 0;
    if (known && size_ > 0) bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    TORCH_CHECK(known, path.string(), ": is not a regular file. Check the path.");
    TORCH_CHECK(size_ >= 8, path.string(), ": is ", size_, " bytes, too short for a safetensors file", kCopyAgain);
    TORCH_CHECK(bytes_ != MAP_FAILED, path.string(), ": cannot be mapped: ", std::strerror(errno));
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  ~Map() {
    if (bytes_ != MAP_FAILED) ::munmap(bytes_, size_);
  }
  const char* bytes() const { return static_cast<const char*>(bytes_); }
  uint64_t size() const { return size_; }

 private:
  void* bytes_ = MAP_FAILED;
  size_t size_ = 0;
};

// A path that cannot be looked up (too long, no permission) is opened all the same, and fails with its reason.
bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) || (error && error != std::errc::no_such_file_or_directory);
}

// Bytes of a tensor, or nothing if a size is negative or the product overflows.
std::optional<uint64_t> byte_size(const std::vector<int64_t>& shape, size_t element) {
  uint64_t bytes = element, strides = element;  // strides: as if no size were 0
  for (const auto size : shape) {
    if (size < 0) return std::nullopt;
    const auto factor = std::max<uint64_t>(1, static_cast<uint64_t>(size));
    if (strides > std::numeric_limits<int64_t>::max() / factor) return std::nullopt;
    strides *= factor;
    bytes *= static_cast<uint64_t>(size);
  }
  return bytes;
}

at::Tensor tensor_at(const std::shared_ptr<Map>& map, uint64_t data_begin, const std::string& name,
                     const nlohmann::json& entry, const std::string& file) {
  const auto where = file + ": tensor \"" + name + "\"";
  const auto fields = entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() &&
                      entry.contains("shape") && entry["shape"].is_array() && entry.contains("data_offsets") &&
                      entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2;
  TORCH_CHECK(fields, where, " lacks dtype, shape or data_offsets", kCopyAgain);
  for (const auto& value : entry["shape"])
    TORCH_CHECK(value.is_number_unsigned(), where, " has a shape that is not a list of sizes", kCopyAgain);
  for (const auto& value : entry["data_offsets"])
    TORCH_CHECK(value.is_number_unsigned(), where, " has data_offsets that are not positions", kCopyAgain);
  const auto dtype = dtype_named(entry["dtype"].get<std::string>());
  TORCH_CHECK(dtype.has_value(), where, " has dtype ", entry["dtype"].get<std::string>(),
              ", which is not supported. Convert the checkpoint to float32, bfloat16 or float16.");
  const auto shape = entry["shape"].get<std::vector<int64_t>>();
  const auto begin = entry["data_offsets"][0].get<uint64_t>(), end = entry["data_offsets"][1].get<uint64_t>();
  const auto element = c10::elementSize(*dtype);
  const auto bytes = byte_size(shape, element);
  TORCH_CHECK(begin <= end && bytes == end - begin, where, " of shape ", shape, " does not fill its ", end - begin,
              " bytes", kCopyAgain);
  TORCH_CHECK(end <= map->size() - data_begin, where, " ends at byte ", data_begin + end, ", but the file has ",
              map->size(), " bytes: it is truncated", kCopyAgain);
  const auto* start = map->bytes() + data_begin + begin;
  const auto options = at::TensorOptions().dtype(*dtype);
  if (reinterpret_cast<uintptr_t>(start) % element != 0) {  // legal, but not readable in place
    auto copy = at::empty(shape, options);
    std::memcpy(copy.data_ptr(), start, *bytes);
    return copy;
  }
  // The map is read-only: nobody may write through this tensor.
  return at::from_blob(
      const_cast<char*>(start), shape, [map](void*) {}, options);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) {
  const auto file = path.string();
  const auto map = std::make_shared<Map>(path);
  uint64_t header_size = 0;
  std::memcpy(&header_size, map->bytes(), 8);
  TORCH_CHECK(header_size <= map->size() - 8, file, ": its header of ", header_size,
              " bytes is longer than the file: it is truncated or no safetensors file", kCopyAgain);
  const auto header = parse_json(map->bytes() + 8, map->bytes() + 8 + header_size);
  TORCH_CHECK(header.is_object(), file, ": its header is not valid JSON", kCopyAgain);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_[name] = tensor_at(map, 8 + header_size, name, entry, file);
    } else if (entry.is_object()) {
      for (const auto& [key, value] : entry.items())
        if (value.is_string()) metadata_[key] = value.get<std::string>();
    }
  }
}

std::map<std::string, at::Tensor> read_folder(const std::filesystem::path& folder) {
  const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (is_there(single)) return SafetensorsFile(single).tensors();
  TORCH_CHECK(is_there(index), folder.string(),
              ": holds neither model.safetensors nor model.safetensors.index.json. Give a folder in the Hugging Face "
              "layout, or make one with `sightloop init`.");
  std::ifstream stream(index);
  const auto json = parse_json(stream);
  TORCH_CHECK(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), index.string(),
              ": has no \"weight_map\"", kCopyAgain);
  std::set<std::string> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    TORCH_CHECK(shard.is_string() && shard.get<std::string>().find('/') == std::string::npos, index.string(),
                ": the entry of \"", name, "\" is not a file name", kCopyAgain);
    shards.insert(shard.get<std::string>());
  }
  std::map<std::string, at::Tensor> tensors;
  for (const auto& shard : shards) {
    TORCH_CHECK(is_there(folder / shard), (folder / shard).string(),
                ": is missing, but model.safetensors.index.json names it", kCopyAgain);
    const SafetensorsFile file(folder / shard);
    tensors.insert(file.tensors().begin(), file.tensors().end());
  }
  return tensors;
}

}  // namespace sightloop::checkpoint
