#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace sightloop::core {

// The parts of a vision-language model that can be trained or frozen on their own. An adapter is no part of the
// checkpoint: it is added to a frozen language model and trained in its place.
enum class Part { vision_tower, connector, language_model, adapter };

// Rows [begin, begin + rows) of a parameter are the tensor `name` of the checkpoint, there of shape `shape`.
// Projections that read the same input are stored as one parameter with several slices (q, k, v; gate, up).
struct Slice {
  std::string name;
  int64_t begin;
  int64_t rows;
  std::vector<int64_t> shape;
};

struct Parameter {
  at::Tensor value;  // the compute copy: what forward and backward see
  Part part;
  bool trainable = false;
  std::vector<Slice> slices;
  // float32, and only where `value` is narrower: microbatches are summed here. Undefined before the first.
  at::Tensor gradient_sum;

  // A view of the slice, in the checkpoint's shape.
  at::Tensor view(const Slice& slice) const;
  // Of the minibatch so far, float32; undefined if nothing reached this parameter.
  const at::Tensor& gradient() const;
  // Zeros if nothing did.
  void ensure_gradient();
  void clear_gradient();

  // What elements [begin, begin + size) of the parameter, laid flat, have in common with a slice.
  struct Overlap {
    int64_t begin, size;              // of the common elements, counted in the parameter
    int64_t slice_begin, slice_size;  // of the slice
  };
  Overlap overlap(const Slice& slice, int64_t begin, int64_t size) const;
  // Rows of the slice, in the parameter's own shape.
  std::vector<int64_t> shape_of(const Slice& slice) const;
  at::Tensor shaped(const at::Tensor& flat, const Slice& slice) const { return flat.view(shape_of(slice)); }
};

// All parameters of one model, in the order of their creation; the only owner of weights.
class ParameterRegistry {
 public:
  // Where a parameter's storage comes from, given its shape and its place in the registry.
  using Source = std::function<at::Tensor(at::IntArrayRef shape, size_t index)>;

  explicit ParameterRegistry(Source source) : source_(std::move(source)) {}

  at::Tensor create(at::IntArrayRef shape, Part part, std::vector<Slice> slices);
  // One slice that is the whole parameter.
  at::Tensor create(at::IntArrayRef shape, Part part, std::string name);
  // A parameter that does not come from the source. Comes after all that do.
  at::Tensor add(at::Tensor value, Part part, std::vector<Slice> slices);

  std::vector<Parameter>& all() { return parameters_; }
  const std::vector<Parameter>& all() const { return parameters_; }
  std::vector<at::Tensor> trainable() const;
  // Adds what the backward pass of one microbatch left to the minibatch's gradients.
  void collect_gradients();
  void clear_gradients();
  int64_t num_elements(bool trainable_only) const;

 private:
  Source source_;
  std::vector<Parameter> parameters_;
};

}  // namespace sightloop::core
