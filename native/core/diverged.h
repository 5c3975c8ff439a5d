#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace sightloop::core {

// What a minibatch that must not be learned from looked like.
struct Divergence {
  int64_t optimizer_step = 0;           // optimizer steps taken before it
  double loss = 0;                      // of the minibatch
  double grad_norm = 0;                 // L2 over all gradients
  std::vector<std::string> parameters;  // those whose gradient is not finite, by checkpoint name
  std::vector<int64_t> rows;            // of the trajectory batch
};

// Thrown when the loss or a gradient of a minibatch is NaN or infinite. Weights and moments are as the step before it
// left them.
class Diverged : public std::runtime_error {
 public:
  Diverged(const std::string& message, Divergence what) : std::runtime_error(message), divergence(std::move(what)) {}
  Divergence divergence;
};

}  // namespace sightloop::core
