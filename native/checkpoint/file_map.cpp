#include "checkpoint/file_map.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sightloop::checkpoint {

FileMap::FileMap(const std::filesystem::path& path) : bytes_(MAP_FAILED) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TORCH_CHECK(file >= 0, path.string(), ": cannot be opened: ", std::strerror(errno),
              ". Check the path and its permissions.");
  struct stat status {};
  const bool known = ::fstat(file, &status) == 0;
  size_ = known ? static_cast<size_t>(status.st_size) : 0;
  if (size_ > 0) bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  ::close(file);
  TORCH_CHECK(known && size_ >= 8, path.string(), ": is ", size_,
              " bytes, too short for a safetensors file. Copy or download the file again.");
  TORCH_CHECK(bytes_ != MAP_FAILED, path.string(), ": cannot be mapped: ", std::strerror(errno));
  ::madvise(bytes_, size_, MADV_SEQUENTIAL);
}

FileMap::~FileMap() {
  if (bytes_ != MAP_FAILED) ::munmap(bytes_, size_);
}

void FileMap::release(const void* begin, size_t count) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(begin), own = reinterpret_cast<uintptr_t>(bytes_);
  if (first < own || first + count > own + size_) return;
  const auto low = (first + page - 1) / page * page, high = (first + count) / page * page;
  if (high > low) ::madvise(reinterpret_cast<void*>(low), high - low, MADV_DONTNEED);
}

}  // namespace sightloop::checkpoint
