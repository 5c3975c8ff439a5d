#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace sightloop::checkpoint {

// A whole file in memory, read-only; its pages are read when they are first touched.
class FileMap {
 public:
  explicit FileMap(const std::filesystem::path& path);
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;
  ~FileMap();

  const char* bytes() const { return static_cast<const char*>(bytes_); }
  uint64_t size() const { return size_; }
  // Gives back the pages that lie wholly inside these bytes; touched again, they are read again. Bytes outside the map
  // are left alone.
  void release(const void* begin, size_t count) const;

 private:
  void* bytes_;
  size_t size_ = 0;
};

}  // namespace sightloop::checkpoint
