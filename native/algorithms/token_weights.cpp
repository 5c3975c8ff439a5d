#include <c10/util/Exception.h>

#include "algorithms/algorithm.h"

namespace sightloop::algorithms {

std::vector<double> token_weights(const std::string& aggregation, std::span<const int64_t> completion_lengths,
                                  int64_t max_completion_tokens, collectives::ProcessGroup& ranks) {
  double counts[2] = {static_cast<double>(completion_lengths.size()), 0};
  for (const auto length : completion_lengths) counts[1] += static_cast<double>(length);
  ranks.sum(counts);
  const auto [completions, tokens] = counts;
  TORCH_CHECK(tokens > 0, "update: the minibatch has no completion token to learn from");
  std::vector<double> weights;
  for (const auto length : completion_lengths) {
    if (aggregation == "token_mean")
      weights.push_back(1 / tokens);
    else if (aggregation == "sequence_mean")
      weights.push_back(length == 0 ? 0 : 1 / (completions * static_cast<double>(length)));
    else if (aggregation == "constant")
      weights.push_back(1 / (completions * static_cast<double>(max_completion_tokens)));
    else
      TORCH_CHECK(false, "loss_aggregation \"", aggregation, "\" is not known");
  }
  return weights;
}

}  // namespace sightloop::algorithms
