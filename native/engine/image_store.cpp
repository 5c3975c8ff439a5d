#include "engine/image_store.h"

#include <ATen/ATen.h>

#include <map>

namespace sightloop::engine {

int64_t ImageStore::Entry::bytes() const {
  int64_t bytes = 0;
  for (const auto* tensor : {&image.pixels, &patches, &features})
    if (tensor->defined()) bytes += static_cast<int64_t>(tensor->nbytes());
  return bytes;
}

ImageStore::Entry* ImageStore::touch(const std::string& id) {
  const auto held = entries_.find(id);
  if (held == entries_.end()) return nullptr;
  uses_.splice(uses_.end(), uses_, held->second.use);
  return &held->second;
}

data::GridThw ImageStore::add(const std::string& id, const uint8_t* rgb, int64_t height, int64_t width) {
  if (const auto* held = touch(id)) return held->image.grid;
  return add(id, {.resized = data::resize_image(rgb, height, width, settings_), .patches = {}});
}

data::GridThw ImageStore::add(const std::string& id, data::PreparedImage image) {
  if (const auto* held = touch(id)) return held->image.grid;
  uses_.push_back(id);
  const auto grid = image.resized.grid;
  entries_.emplace(id, Entry{.image = std::move(image.resized),
                             .patches = std::move(image.patches),
                             .features = {},
                             .use = std::prev(uses_.end())});
  return grid;
}

std::vector<std::string> ImageStore::prune(const std::set<std::string>& keep) {
  std::vector<std::string> dropped;
  auto held = bytes();
  for (auto use = uses_.begin(); use != uses_.end() && held > budget_bytes_;) {
    if (keep.contains(*use)) {
      ++use;
      continue;
    }
    const auto& entry = find(*use);
    held -= entry.bytes();
    entries_.erase(*use);
    dropped.push_back(*use);
    use = uses_.erase(use);
  }
  return dropped;
}

at::Tensor ImageStore::features(const models::Model& model, const std::vector<std::string>& ids, bool cached) {
  if (ids.empty()) return {};
  std::vector<std::string> distinct;
  std::map<std::string, size_t> place;
  for (const auto& id : ids)
    if (place.emplace(id, distinct.size()).second) distinct.push_back(id);

  std::vector<at::Tensor> parts;
  if (cached) {
    const at::NoGradGuard no_grad;
    for (const auto& id : distinct) {
      auto& entry = find(id);
      if (!entry.features.defined()) {
        entry.features = encode(model, {id}).cpu();
        entry.patches = at::Tensor();
      }
      parts.push_back(entry.features);
    }
  } else {
    std::vector<int64_t> sizes;
    for (const auto& id : distinct) sizes.push_back(grid(id).num_tokens(settings_.merge_size));
    const auto encoded = encode(model, distinct);
    if (distinct.size() == ids.size()) return encoded;
    parts = encoded.split_with_sizes(sizes);
  }
  std::vector<at::Tensor> ordered;
  for (const auto& id : ids) ordered.push_back(parts[place.at(id)]);
  return at::cat(ordered).to(model.device());
}

at::Tensor ImageStore::encode(const models::Model& model, const std::vector<std::string>& ids) {
  std::vector<at::Tensor> patches;
  std::vector<models::GridThw> grids;
  for (const auto& id : ids) {
    const auto& entry = find(id);
    patches.push_back(entry.patches.defined() ? entry.patches : data::patchify(entry.image.pixels, settings_));
    const auto& grid = entry.image.grid;
    grids.push_back({grid.t, grid.h, grid.w});
  }
  num_encoded_ += static_cast<int64_t>(ids.size());
  return model.encode_images(at::cat(patches), grids, nullptr);
}

int64_t ImageStore::bytes() const {
  int64_t bytes = 0;
  for (const auto& [id, entry] : entries_) bytes += entry.bytes();
  return bytes;
}

const ImageStore::Entry& ImageStore::find(const std::string& id) const {
  const auto found = entries_.find(id);
  TORCH_CHECK(found != entries_.end(), "image ", id, " is not held by the engine: call addImages with it first");
  return found->second;
}

}  // namespace sightloop::engine
