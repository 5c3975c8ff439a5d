#include <c10/util/Exception.h>

#include <nlohmann/json.hpp>

#include "algorithms/families.h"

namespace sightloop::algorithms {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Algorithm> (*create)(const nlohmann::json&);
};

// A new algorithm is one file and one line here.
constexpr Entry kAlgorithms[] = {
    {"cispo", create_cispo},
    {"dapo", create_dapo},
    {"dr_grpo", create_dr_grpo},
    {"grpo", create_grpo},
    {"gspo", create_gspo},
    {"reinforce_plus_plus", create_reinforce_plus_plus},
    {"reinforce_plus_plus_baseline", create_reinforce_plus_plus_baseline},
    {"rloo", create_rloo},
    {"supervised", create_supervised},
};

}  // namespace

std::unique_ptr<Algorithm> create(const nlohmann::json& options) {
  const auto name = options.at("name").get<std::string>();
  for (const auto& entry : kAlgorithms)
    if (name == entry.name) return entry.create(options);
  TORCH_CHECK(false, "algorithm \"", name, "\" is not known");
}

}  // namespace sightloop::algorithms
