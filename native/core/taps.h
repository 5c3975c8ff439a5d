#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace sightloop::core {

// Collects named activations of one forward pass, as float32 on the host. Every module takes a pointer to it; null costs nothing.
struct Taps {
  std::map<std::string, at::Tensor> tensors;
};

inline void tap(Taps* taps, const std::string& name, const at::Tensor& value) {
  if (taps != nullptr)
    taps->tensors[name] = value.detach().to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace sightloop::core
