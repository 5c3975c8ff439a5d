#pragma once
#include <stdexcept>
#include <stop_token>

namespace sightloop::core {

// Thrown between decode steps or microbatches once the caller has asked to stop.
struct Stopped : std::runtime_error {
  Stopped() : std::runtime_error("stopped") {}
};

inline void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Stopped();
}

}  // namespace sightloop::core
