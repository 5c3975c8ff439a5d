#include <c10/util/Exception.h>

#include <algorithm>
#include <numeric>

#include "algorithms/algorithm.h"

namespace sightloop::algorithms {

std::vector<double> token_weights(const Aggregation& aggregation, std::span<const int64_t> completion_lengths) {
  const auto& [name, max_completion_tokens, block_completions] = aggregation;
  const bool blocks = name == "block_token_mean";
  TORCH_CHECK(!blocks || block_completions > 0, "block_token_mean needs a positive block_completions");
  const auto rows = completion_lengths.size();
  const auto block = blocks ? static_cast<size_t>(block_completions) : 1;
  double counts[3] = {static_cast<double>(rows), 0, static_cast<double>((rows + block - 1) / block)};
  for (const auto length : completion_lengths) counts[1] += static_cast<double>(length);
  const auto [completions, tokens, num_blocks] = counts;
  TORCH_CHECK(tokens > 0, "update: the minibatch has no completion token to learn from");
  const auto inverse = [](double divisor) { return divisor == 0 ? 0 : 1 / divisor; };
  std::vector<double> weights;
  for (size_t row = 0; row < rows; ++row) {
    if (name == "token_mean")
      weights.push_back(1 / tokens);
    else if (name == "sequence_mean")
      weights.push_back(inverse(completions * static_cast<double>(completion_lengths[row])));
    else if (name == "constant")
      weights.push_back(1 / (completions * static_cast<double>(max_completion_tokens)));
    else if (blocks) {
      const auto mates = completion_lengths.subspan(row - row % block, std::min(block, rows - (row - row % block)));
      const auto of_block = std::accumulate(mates.begin(), mates.end(), int64_t{0});
      weights.push_back(inverse(num_blocks * static_cast<double>(of_block)));
    } else
      TORCH_CHECK(false, "loss_aggregation \"", name, "\" is not known");
  }
  return weights;
}

}  // namespace sightloop::algorithms
