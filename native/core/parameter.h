#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
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
  std::vector<Slice> slices = {};
  // float32, and only where `value` is narrower: microbatches are summed here. Undefined before the first.
  at::Tensor gradient_sum = {};
  // While the ranks hold this parameter in pieces: this rank's, flat; then `value` has no memory but while it is gathered.
  at::Tensor own_piece = {};

  bool narrow() const { return value.scalar_type() != at::kFloat; }

  // A view of the slice, in the checkpoint's shape.
  at::Tensor view(const Slice& slice) const;
  // Of the minibatch so far, float32; undefined if nothing reached this parameter.
  const at::Tensor& gradient() const;
  // Of the microbatch, where a narrower parameter's are not summed at once (ParameterRegistry).
  const at::Tensor& microbatch_gradient() const { return value.grad(); }
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
  // Whether a backward pass adds each gradient of a narrower trainable parameter to the minibatch's as soon as it is whole, so
  // that no two of them are held; else they are left, one microbatch's at a time. Watches the parameters trainable by now.
  void watch_gradients();
  // Told the place in `all` of every trainable parameter whose gradient of a backward pass is whole, from then on.
  using GradientListener = std::function<void(size_t index)>;
  void set_gradient_listener(GradientListener listener) { gradient_listener_ = std::move(listener); }
  // What a watched parameter does then; `value` is its own.
  void gradient_is_whole(size_t index, const at::Tensor& value);
  void set_sums_at_once(bool on) { sums_at_once_ = on; }
  void clear_gradients();
  int64_t num_elements(bool trainable_only) const;

 private:
  Source source_;
  std::vector<Parameter> parameters_;
  bool sums_at_once_ = true;
  GradientListener gradient_listener_;
};

}  // namespace sightloop::core
