#include "models/config.h"

#include <c10/util/Exception.h>

namespace sightloop::models {
namespace {

// Of any size in config.json; products of two sizes and a small number stay far from overflow.
constexpr int64_t kLargestSize = int64_t{1} << 24;

}  // namespace

const nlohmann::json& ConfigReader::at(const char* key, const char* expected) const {
  TORCH_CHECK(has(key), where_, ": \"", key, "\" is missing; expected ", expected,
              ". Copy config.json from the checkpoint's source again.");
  return json_[key];
}

int64_t ConfigReader::positive(const char* key) const {
  const auto& value = at(key, "a positive whole number");
  TORCH_CHECK(value.is_number_integer() && value.get<int64_t>() > 0 && value.get<int64_t>() <= kLargestSize, where_,
              ": \"", key, "\" must be a whole number from 1 to ", kLargestSize, ", got ", value.dump());
  return value.get<int64_t>();
}

int64_t ConfigReader::positive(const char* key, int64_t fallback) const { return has(key) ? positive(key) : fallback; }

int64_t ConfigReader::integer(const char* key, int64_t fallback) const {
  if (!has(key)) return fallback;
  TORCH_CHECK(json_[key].is_number_integer(), where_, ": \"", key, "\" must be a whole number, got ",
              json_[key].dump());
  return json_[key].get<int64_t>();
}

double ConfigReader::number(const char* key, double fallback) const {
  if (!has(key)) return fallback;
  TORCH_CHECK(json_[key].is_number(), where_, ": \"", key, "\" must be a number, got ", json_[key].dump());
  return json_[key].get<double>();
}

bool ConfigReader::boolean(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  TORCH_CHECK(json_[key].is_boolean(), where_, ": \"", key, "\" must be true or false, got ", json_[key].dump());
  return json_[key].get<bool>();
}

std::vector<int64_t> ConfigReader::integers(const char* key) const {
  const auto& value = at(key, "a list of whole numbers");
  const bool fine =
      value.is_array() && std::all_of(value.begin(), value.end(), [](const auto& x) { return x.is_number_integer(); });
  TORCH_CHECK(fine, where_, ": \"", key, "\" must be a list of whole numbers, got ", value.dump());
  return value.get<std::vector<int64_t>>();
}

void ConfigReader::expect(const char* key, const nlohmann::json& value) const {
  TORCH_CHECK(!has(key) || json_[key] == value, where_, ": \"", key, "\" is ", json_.value(key, value).dump(),
              ", but only ", value.dump(), " is supported");
}

ConfigReader ConfigReader::nested(const char* key) const {
  const auto& value = at(key, "an object");
  TORCH_CHECK(value.is_object(), where_, ": \"", key, "\" must be an object, got ", value.dump());
  return {value, where_ + ": " + key};
}

ConfigReader ConfigReader::nested_or_self(const char* key) const { return has(key) ? nested(key) : *this; }

}  // namespace sightloop::models
