#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "models/model.h"

// Weights of a model: out of files, out of another model, out of nothing.
namespace sightloop::models {

// Hears how much of a long piece of work is done. May throw core::Stopped.
using Progress = std::function<void(int64_t done, int64_t total)>;

// For `build`: parameters that have a shape and no memory.
core::ParameterRegistry::Source without_storage(at::ScalarType dtype);

// `source` for at most `limit` values, so that a config.json with a size gone wrong is refused before it takes the
// machine's memory. `refusal` says what the limit is.
core::ParameterRegistry::Source at_most(int64_t limit, std::string refusal, core::ParameterRegistry::Source source);

// Where a model's values live, and as what.
struct Storage {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;

  at::TensorOptions options() const { return at::device(device).dtype(dtype); }
};

// Reads a Hugging Face folder into parameters. Every parameter must be there with its shape; tensors that no
// parameter uses are an error. Progress in bytes.
std::unique_ptr<Model> load(const std::filesystem::path& folder, const Storage& storage, const Progress& progress);
std::unique_ptr<Model> load(const std::filesystem::path& folder, core::ParameterRegistry::Source memory,
                            const Progress& progress);

// A frozen copy: parameters that `model` trains are copied into `memory`, the others shared.
std::unique_ptr<Model> frozen_copy(const Model& model, const nlohmann::json& config,
                                   const core::ParameterRegistry::Source& memory);

using Chosen = std::function<bool(const core::Parameter&)>;
inline bool in_checkpoint(const core::Parameter& parameter) { return parameter.part != core::Part::adapter; }
inline bool is_trained(const core::Parameter& parameter) { return parameter.trainable; }

// Fills the chosen parameters from files, which must hold these and no others; `origin` names them in errors.
void fill(Model& model, std::span<const checkpoint::SafetensorsFile> files, const std::string& origin,
          const Progress& progress, const Chosen& chosen);

// Every slice of every chosen parameter under its checkpoint name.
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const Model& model, const Chosen& chosen);

// Newer tools nest both halves of a model under "model."; the published names are the canonical ones.
std::string canonical_name(const std::string& name);
std::string nested_name(const std::string& name);

// Random weights of one tensor: a matrix N(0, initializer_range), a norm 1, a bias 0; keyed by `seed` and its name.
//   returns the slice's shape, float32
at::Tensor initial_values(const core::Slice& slice, double initializer_range, uint64_t seed);
// Uniform in (-bound, bound), keyed by `seed` and the slice's name.   returns the slice's shape, float32
at::Tensor uniform_values(const core::Slice& slice, double bound, uint64_t seed);

}  // namespace sightloop::models
