#pragma once
#include <c10/core/ScalarType.h>

#include <optional>
#include <string_view>
#include <utility>

namespace sightloop::checkpoint {

inline constexpr std::pair<std::string_view, at::ScalarType> kDtypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong},
    {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},  {"U8", at::kByte},       {"BOOL", at::kBool}};

inline std::optional<at::ScalarType> dtype_named(std::string_view name) {
  for (const auto& [key, dtype] : kDtypes)
    if (key == name) return dtype;
  return std::nullopt;
}

inline std::string_view name_of(at::ScalarType dtype) {
  for (const auto& [key, value] : kDtypes)
    if (value == dtype) return key;
  return "";
}

}  // namespace sightloop::checkpoint
