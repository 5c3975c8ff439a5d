#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/safetensors.h"

namespace sightloop::checkpoint {
namespace {

constexpr auto kCopyAgain = ". Copy or download the checkpoint again.";

// Tensor -> shard, as model.safetensors.index.json says.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  std::ifstream stream(path);
  const auto json = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(
      json.is_object() && json.contains("weight_map") && json["weight_map"].is_object() && !json["weight_map"].empty(),
      path.string(), ": has no \"weight_map\"", kCopyAgain);
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    TORCH_CHECK(shard.is_string() && shard.get<std::string>().find('/') == std::string::npos, path.string(),
                ": the entry of \"", name, "\" is not a file name", kCopyAgain);
    shards[name] = shard.get<std::string>();
  }
  return shards;
}

}  // namespace

std::vector<SafetensorsFile> open_folder(const std::filesystem::path& folder) {
  const auto single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  std::vector<SafetensorsFile> files;
  if (std::filesystem::exists(single)) {
    files.emplace_back(single);
    return files;
  }
  TORCH_CHECK(std::filesystem::exists(index), folder.string(),
              ": holds neither model.safetensors nor model.safetensors.index.json. Give a folder in the Hugging Face "
              "layout, or make one with `sightloop init`.");
  const auto shard_of = read_index(index);
  std::map<std::string, std::string> found;  // tensor -> the shard that holds it
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const auto& shard : shards) {
    TORCH_CHECK(std::filesystem::exists(folder / shard), (folder / shard).string(),
                ": is missing, but model.safetensors.index.json names it", kCopyAgain);
    files.emplace_back(folder / shard);
    for (const auto& [name, tensor] : files.back().tensors()) {
      const auto [earlier, is_new] = found.emplace(name, shard);
      TORCH_CHECK(is_new, folder.string(), ": tensor \"", name, "\" is in two shards, ", earlier->second, " and ",
                  shard, ". Remove the file that does not belong to this checkpoint, or download it again.");
    }
  }
  for (const auto& [name, shard] : shard_of) {
    const auto place = found.find(name);
    TORCH_CHECK(place != found.end() && place->second == shard, (folder / shard).string(), ": lacks tensor \"", name,
                "\", which model.safetensors.index.json places there", kCopyAgain);
  }
  return files;
}

}  // namespace sightloop::checkpoint
