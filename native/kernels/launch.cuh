#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "core/check.h"
#include "kernels/cuda.h"
#include "kernels/device.cuh"

// What the host side of the kernels shares.
namespace sightloop::kernels::cuda {

constexpr int kThreads = 256;

inline unsigned blocks_for(int64_t threads) { return static_cast<unsigned>((threads + kThreads - 1) / kThreads); }

// As many threads as a row has accesses, in whole warps.
inline unsigned threads_for(int64_t accesses, int64_t most) {
  return static_cast<unsigned>(std::clamp<int64_t>((accesses + 31) / 32 * 32, 32, most));
}

inline void check_like(const at::Tensor& tensor, at::IntArrayRef shape, at::ScalarType dtype, const char* name) {
  core::check_shape(tensor, shape, name);
  TORCH_INTERNAL_ASSERT(tensor.is_cuda() && tensor.scalar_type() == dtype && tensor.is_contiguous(), name,
                        ": expected a contiguous CUDA tensor of ", dtype, ", got ", tensor.scalar_type(), " on ",
                        tensor.device(), " with strides ", tensor.strides());
}

inline bool aligned(std::initializer_list<at::Tensor> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
    return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
  });
}

// use(T{}), T the dtype of x.
template <typename Use>
void with_dtype(const at::Tensor& x, const char* name, const Use& use) {
  TORCH_INTERNAL_ASSERT(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, name,
                        ": expected float32 or bfloat16, got ", x.scalar_type());
  if (x.scalar_type() == at::kFloat)
    use(float{});
  else
    use(c10::BFloat16{});
}

// use(T{}, N), N a compile-time number: elements that move at once, 16 bytes of them if `fits(that number)`, else 1.
template <typename Fits, typename Use>
void with_vector(const at::Tensor& x, const char* name, const Fits& fits, const Use& use) {
  with_dtype(x, name, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kMost = device::kVector<T>;
    if (fits(kMost))
      use(zero, std::integral_constant<int, kMost>());
    else
      use(zero, std::integral_constant<int, 1>());
  });
}

}  // namespace sightloop::kernels::cuda
