#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace sightloop::models {

// Reads keys of config.json; errors name the key and what was expected. `where` is e.g. "config.json: vision_config".
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {}

  int64_t positive(const char* key) const;
  int64_t positive(const char* key, int64_t fallback) const;
  int64_t integer(const char* key, int64_t fallback) const;
  double number(const char* key, double fallback) const;
  bool boolean(const char* key, bool fallback) const;
  std::vector<int64_t> integers(const char* key) const;
  // Fails unless the key is absent or has this value: an option that the family's code does not implement.
  void expect(const char* key, const nlohmann::json& value) const;
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  const nlohmann::json& json() const { return json_; }
  // The nested object, or this reader itself where the checkpoint is flat.
  ConfigReader nested_or_self(const char* key) const;
  ConfigReader nested(const char* key) const;

 private:
  const nlohmann::json& at(const char* key, const char* expected) const;

  const nlohmann::json& json_;
  std::string where_;
};

}  // namespace sightloop::models
