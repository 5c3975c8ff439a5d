#include "checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include <unistd.h>

#include <fstream>

#include "doctest/doctest.h"

using sightloop::checkpoint::open_folder;
using sightloop::checkpoint::SafetensorsFile;
using sightloop::checkpoint::write_safetensors;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("sightloop-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

void write_raw(const fs::path& path, const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(&size), 8);
  stream << header << data;
}

std::string error_of(const fs::path& path) {
  try {
    const SafetensorsFile file(path);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace

DOCTEST_TEST_CASE("safetensors: what is written is read back bit for bit, strided views and every dtype included") {
  const Folder folder;
  std::vector<std::pair<std::string, at::Tensor>> tensors = {
      {"strided", at::randn({3, 4}).t()}, {"empty", at::zeros({0, 2})}, {"scalar", at::scalar_tensor(3.5)}};
  for (const auto dtype : {at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kByte, at::kBool})
    tensors.emplace_back(c10::toString(dtype), at::randint(2, {5}).to(dtype));
  write_safetensors(folder.path / "model.safetensors", tensors, {{"format", "pt"}});
  const SafetensorsFile file(folder.path / "model.safetensors");
  DOCTEST_CHECK(file.metadata().at("format") == "pt");
  DOCTEST_CHECK(file.tensors().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    DOCTEST_CAPTURE(name);
    DOCTEST_CHECK((file.tensors().at(name).scalar_type() == tensor.scalar_type()));
    DOCTEST_CHECK(at::equal(file.tensors().at(name), tensor));
  }
  DOCTEST_CHECK(!fs::exists(folder.path / "model.safetensors.writing"));
}

DOCTEST_TEST_CASE("safetensors: damaged files are refused by what is wrong") {
  const Folder folder;
  const auto path = folder.path / "model.safetensors";
  const auto refused = [&](const std::string& header, const std::string& data) {
    write_raw(path, header, data);
    return error_of(path);
  };
  const auto has = [](const std::string& message, const char* part) { return message.find(part) != std::string::npos; };
  DOCTEST_CHECK(has(refused("not json", ""), "not valid JSON"));
  DOCTEST_CHECK(has(refused("[1]", ""), "not valid JSON"));
  DOCTEST_CHECK(has(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"), "truncated"));
  DOCTEST_CHECK(has(refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678"), "does not fill"));
  DOCTEST_CHECK(has(refused(R"({"a":{"dtype":"F8","shape":[8],"data_offsets":[0,8]}})", "12345678"), "F8"));
  DOCTEST_CHECK(has(refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678"), "shape"));
  DOCTEST_CHECK(
      has(refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", "12345678"),
          "does not fill"));
  DOCTEST_CHECK(has(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678"), "does not fill"));
  DOCTEST_CHECK(has(refused(R"({"a":5})", ""), "lacks dtype"));
  std::ofstream(path, std::ios::trunc) << "abc";
  DOCTEST_CHECK(has(error_of(path), "too short"));
  std::ofstream(path, std::ios::trunc) << std::string(16, '\xff');
  DOCTEST_CHECK(has(error_of(path), "longer than the file"));
  DOCTEST_CHECK(has(error_of(folder.path / "none"), "cannot be opened"));
  fs::remove(path);
  DOCTEST_CHECK_THROWS(open_folder(folder.path));
}

DOCTEST_TEST_CASE("safetensors: copying out converts, counts every byte once, and leaves neighbours readable") {
  const Folder folder;
  const auto path = folder.path / "model.safetensors";
  const auto wide = at::randn({3, 5'000'000}), small = at::randn({7}).to(at::kBFloat16);
  write_safetensors(path, {{"small", small}, {"wide", wide}, {"last", at::ones({3})}}, {});
  const SafetensorsFile file(path);
  auto target = at::empty({3, 5'000'000}, at::kBFloat16), narrow = at::empty({7});
  int64_t bytes = 0;
  file.copy_out("wide", target, [&](int64_t count) { bytes += count; });
  DOCTEST_CHECK(at::equal(target, wide.to(at::kBFloat16)));
  DOCTEST_CHECK(bytes == static_cast<int64_t>(wide.nbytes()));
  file.copy_out("small", narrow, {});
  DOCTEST_CHECK(at::equal(narrow, small.to(at::kFloat)));
  DOCTEST_CHECK(at::equal(file.tensors().at("wide"), wide));
  DOCTEST_CHECK(at::equal(file.tensors().at("last"), at::ones({3})));
}

DOCTEST_TEST_CASE("safetensors: a tensor at an odd address is copied out, too") {
  const Folder folder;
  const auto path = folder.path / "model.safetensors";
  write_raw(path, R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} )",
            std::string("\0\0\x80\x3f\0\0\0\x40", 8));
  const SafetensorsFile file(path);
  auto target = at::empty({2});
  file.copy_out("a", target, {});
  DOCTEST_CHECK(at::equal(target, at::tensor({1.0F, 2.0F})));
  DOCTEST_CHECK(at::equal(file.tensors().at("a"), target));
}
