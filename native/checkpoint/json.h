#pragma once
#include <nlohmann/json.hpp>

namespace sightloop::checkpoint {

// JSON of a file that anyone may have written: is_discarded() unless it is valid and nested no deeper than kMaxNesting
// (to print or copy a deeper value would take the thread's whole stack).
inline constexpr int kMaxNesting = 100;

template <typename... Input>
nlohmann::json parse_json(Input&&... input) {
  bool too_deep = false;
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxNesting;
    return !too_deep;
  };
  auto value = nlohmann::json::parse(std::forward<Input>(input)..., shallow, /*allow_exceptions=*/false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : value;
}

}  // namespace sightloop::checkpoint
