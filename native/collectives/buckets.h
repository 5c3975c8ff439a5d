#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <vector>

namespace sightloop::collectives {

// Starts the sum over ranks of a flat tensor, in place; returns what waits for it.
using StartSum = std::function<std::function<void()>(const at::Tensor& flat)>;

// Sums each tensor in place. Small ones travel together; all are under way before the first is waited for.
void sum_in_buckets(const std::vector<at::Tensor>& tensors, const StartSum& start);

// A lost connection is a failure of the run, not of this program.
template <typename Call>
auto connected(int rank, const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    TORCH_CHECK(false, "rank ", rank, " lost its connection to another rank: ", text.substr(0, text.find('\n')));
  }
}

}  // namespace sightloop::collectives
