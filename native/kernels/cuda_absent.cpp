#ifndef SIGHTLOOP_CUDA
#include <ATen/ATen.h>

#include "kernels/cuda.h"

// A build without CUDA cannot make a CUDA tensor, so that nothing here is ever reached.
namespace sightloop::kernels::cuda {
namespace {

[[noreturn]] void absent() {
  TORCH_CHECK(false, "this build has no CUDA kernels. Build with `npm run build -- --cuda`.");
}

}  // namespace

at::Tensor rms_norm(const at::Tensor&, const at::Tensor&, double, at::Tensor*) { absent(); }
RmsNormGradient rms_norm_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  absent();
}
std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                                                at::Tensor*) {
  absent();
}
at::Tensor rotate(const at::Tensor&, const at::Tensor&, const at::Tensor&, float) { absent(); }
at::Tensor swiglu(const at::Tensor&) { absent(); }
at::Tensor swiglu_backward(const at::Tensor&, const at::Tensor&) { absent(); }
void store_paged(at::Tensor&, at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&) { absent(); }
at::Tensor paged_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, const at::Tensor&) {
  absent();
}
void head_row_sums(const at::Tensor&, const at::Tensor&, double, at::Tensor&, at::Tensor&, at::Tensor&, int64_t) {
  absent();
}
void head_differentiate(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                        const at::Tensor&, int64_t, double) {
  absent();
}
Sampled sample(const at::Tensor&, const SampleSettings&, const DrawKeys&) { absent(); }
std::tuple<at::Tensor, at::Tensor> merge_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                   const at::Tensor&) {
  absent();
}

}  // namespace sightloop::kernels::cuda
#endif
