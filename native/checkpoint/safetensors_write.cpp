#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "checkpoint/dtypes.h"
#include "checkpoint/safetensors.h"

namespace sightloop::checkpoint {
namespace {

class Writer {
 public:
  explicit Writer(const std::filesystem::path& path) : path_(path) {
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check(file_ >= 0);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    if (file_ >= 0) ::close(file_);
  }
  void write(const char* bytes, size_t count) {
    while (count > 0) {
      const auto written = ::write(file_, bytes, count);
      if (written < 0 && errno == EINTR) continue;
      check(written > 0);
      bytes += written;
      count -= static_cast<size_t>(written);
    }
  }
  void finish() {
    check(::fsync(file_) == 0);
    check(::close(std::exchange(file_, -1)) == 0);
  }

 private:
  void check(bool fine) const {
    TORCH_CHECK(fine, path_.string(), ": cannot be written: ", std::strerror(errno),
                ". Check free space and permissions.");
  }
  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<OutgoingTensor>& tensors,
                       const std::map<std::string, std::string>& metadata, const BytesDone& written) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    const auto bytes = static_cast<uint64_t>(c10::multiply_integers(tensor.shape)) * c10::elementSize(tensor.dtype);
    header[tensor.name] = {
        {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  auto text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // aligns the data
  const uint64_t header_size = text.size();

  auto temporary = path;
  temporary += ".writing";
  Writer writer(temporary);
  writer.write(reinterpret_cast<const char*>(&header_size), 8);
  writer.write(text.data(), text.size());
  for (const auto& tensor : tensors) {
    const auto dense = tensor.make().detach().cpu().contiguous();
    TORCH_INTERNAL_ASSERT(dense.scalar_type() == tensor.dtype && dense.sizes() == at::IntArrayRef(tensor.shape));
    writer.write(static_cast<const char*>(dense.data_ptr()), dense.nbytes());
    if (written) written(static_cast<int64_t>(dense.nbytes()));
  }
  writer.finish();
  std::filesystem::rename(temporary, path);
}

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<OutgoingTensor> outgoing;
  for (const auto& [name, tensor] : tensors)
    outgoing.push_back(
        {.name = name, .dtype = tensor.scalar_type(), .shape = tensor.sizes().vec(), .make = [&tensor = tensor] {
           return tensor;
         }});
  write_safetensors(path, outgoing, metadata);
}

}  // namespace sightloop::checkpoint
