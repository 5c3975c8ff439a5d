#include <ATen/ATen.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint/dtypes.h"
#include "checkpoint/file_map.h"
#include "checkpoint/safetensors.h"

namespace sightloop::checkpoint {
namespace {

constexpr auto kCopyAgain = ". Copy or download the file again.";
constexpr int64_t kPieceBytes = int64_t{32} << 20;  // copied at once: resident twice for a moment

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

at::Tensor tensor_at(const std::shared_ptr<const FileMap>& map, uint64_t data_begin, const std::string& name,
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

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), map_(std::make_shared<const FileMap>(path)) {
  const auto file = path.string();
  uint64_t header_size = 0;
  std::memcpy(&header_size, map_->bytes(), 8);
  TORCH_CHECK(header_size <= map_->size() - 8, file, ": its header of ", header_size,
              " bytes is longer than the file: it is truncated or no safetensors file", kCopyAgain);
  const auto header = nlohmann::json::parse(map_->bytes() + 8, map_->bytes() + 8 + header_size, nullptr,
                                            /*allow_exceptions=*/false);
  TORCH_CHECK(header.is_object(), file, ": its header is not valid JSON", kCopyAgain);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_[name] = tensor_at(map_, 8 + header_size, name, entry, file);
    } else if (entry.is_object()) {
      for (const auto& [key, value] : entry.items())
        if (value.is_string()) metadata_[key] = value.get<std::string>();
    }
  }
}

void SafetensorsFile::copy_out(const std::string& name, const at::Tensor& target, const BytesDone& copied) const {
  const auto stored = tensors_.at(name).flatten(), flat = target.view(-1);
  TORCH_INTERNAL_ASSERT(stored.numel() == flat.numel());
  const auto piece = kPieceBytes / static_cast<int64_t>(stored.element_size());
  for (int64_t begin = 0; begin < stored.numel(); begin += piece) {
    const auto part = stored.narrow(0, begin, std::min(piece, stored.numel() - begin));
    flat.narrow(0, begin, part.numel()).copy_(part);
    map_->release(part.const_data_ptr(), part.nbytes());
    if (copied) copied(static_cast<int64_t>(part.nbytes()));
  }
}

}  // namespace sightloop::checkpoint
