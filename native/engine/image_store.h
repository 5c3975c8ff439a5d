#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <list>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/model.h"
#include "pipeline/data/patches.h"

namespace sightloop::engine {

// Resized images by content hash, and their vision features while those cannot change.
class ImageStore {
 public:
  ImageStore(data::ImageProcessorSettings settings, int64_t budget_bytes)
      : settings_(settings), budget_bytes_(budget_bytes) {}

  // Resizes rgb [height, width, 3] unless the id is held; either way the image counts as just used.
  data::GridThw add(const std::string& id, const uint8_t* rgb, int64_t height, int64_t width);
  data::GridThw add(const std::string& id, data::PreparedImage image);
  data::GridThw grid(const std::string& id) const { return find(id).image.grid; }
  // Drops the least recently added images outside `keep` until the store is within its budget; returns what went.
  std::vector<std::string> prune(const std::set<std::string>& keep);

  // Features [M, D] of `ids` in order, where the model is, an id may repeat; undefined for no ids.
  //   cached: computed one image at a time and kept, so that values do not depend on what was asked together
  at::Tensor features(const models::Model& model, const std::vector<std::string>& ids, bool cached);

  int64_t bytes() const;
  // Images whose features were computed, since the store was made; kept features are not computed again.
  int64_t num_encoded() const { return num_encoded_; }

 private:
  struct Entry {
    data::ResizedImage image;
    at::Tensor patches;   // cut ahead, until the first encoding that is kept; or undefined
    at::Tensor features;  // [M, D] on the host, or undefined
    std::list<std::string>::iterator use;

    int64_t bytes() const;
  };
  Entry* touch(const std::string& id);  // null if it is not held
  const Entry& find(const std::string& id) const;
  Entry& find(const std::string& id) { return const_cast<Entry&>(std::as_const(*this).find(id)); }
  at::Tensor encode(const models::Model& model, const std::vector<std::string>& ids);

  data::ImageProcessorSettings settings_;
  int64_t budget_bytes_;
  int64_t num_encoded_ = 0;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> uses_;  // least recently added first
};

}  // namespace sightloop::engine
