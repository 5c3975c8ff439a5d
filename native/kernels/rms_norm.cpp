#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/cpu.h"
#include "core/lanes.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

SIGHTLOOP_CPU_CLONES void forward_rows(const float* x, const float* weight, float* y, float* scales, int64_t rows,
                                       int64_t width, float epsilon) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    core::Lanes squares = {};  // in one order, however the row lies in memory
    int64_t first = 0;
    for (; first + core::kLanes <= width; first += core::kLanes) {
      const core::Lanes part = core::load(x + first);
      squares += part * part;
    }
    if (first < width) {
      const core::Lanes part = core::load_part(x + first, width - first, 0);
      squares += part * part;
    }
    const float sum = core::sum(squares);
    const float scale = 1.0F / std::sqrt(sum / static_cast<float>(width) + epsilon);
    scales[row] = scale;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * weight[i];
  }
}

// dx = scale * (g - xhat * mean(g * xhat)),  g = dy * weight,  xhat = x * scale.   dweight += sum over rows of dy * xhat
SIGHTLOOP_CPU_CLONES void backward_rows(const float* dy, const float* x, const float* weight, const float* scales,
                                        float* dx, float* dweight, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const float scale = scales[row];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) {
      const float product = dy[i] * x[i];
      dweight[i] += product * scale;
      dot += product * weight[i];
    }
    const float shrink = dot * scale * scale / static_cast<float>(width);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) dx[i] = scale * (dy[i] * weight[i] - x[i] * shrink);
  }
}

constexpr int64_t kRowsPerTask = 64;

// x [T, D] contiguous   returns y [T, D] and the rows' scales [T]
std::pair<at::Tensor, at::Tensor> normalise(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  if (x.is_cuda()) {
    at::Tensor scales;
    const auto y = cuda::rms_norm(x, weight, epsilon, &scales);
    return {y, scales};
  }
  const auto width = x.size(-1), rows = x.numel() / width;
  auto y = at::empty_like(x);
  auto scales = at::empty({rows}, x.options());
  at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    forward_rows(x.data_ptr<float>() + begin * width, weight.data_ptr<float>(), y.data_ptr<float>() + begin * width,
                 scales.data_ptr<float>() + begin, end - begin, width, static_cast<float>(epsilon));
  });
  return {y, scales};
}

struct Gradient {
  at::Tensor x, weight;  // weight: undefined unless asked for
};

Gradient differentiate(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scales,
                       bool of_weight) {
  if (x.is_cuda()) {
    const auto d = cuda::rms_norm_backward(dy, x, weight, scales);
    return {.x = d.x, .weight = d.weight};
  }
  const auto rows = x.numel() / x.size(-1), width = x.size(-1);
  const auto tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  auto dx = at::empty_like(x);
  const auto dweights = at::zeros({tasks, width}, x.options());  // one a task: the sum does not depend on the threads
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (auto task = first; task < last; ++task) {
      const auto begin = task * kRowsPerTask, shift = begin * width;
      backward_rows(dy.data_ptr<float>() + shift, x.data_ptr<float>() + shift, weight.data_ptr<float>(),
                    scales.data_ptr<float>() + begin, dx.data_ptr<float>() + shift,
                    dweights.data_ptr<float>() + task * width, std::min(kRowsPerTask, rows - begin), width);
    }
  });
  return {.x = dx, .weight = of_weight ? dweights.sum(0) : at::Tensor()};
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const auto [y, scales] = normalise(x, weight, epsilon);
    context->save_for_backward({x, weight, scales});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto d = differentiate(gradients[0].contiguous(), saved[0], saved[1], saved[2], context->needs_input_grad(1));
    return {d.x, d.weight, at::Tensor()};
  }
};

// CUDA only: elsewhere the sum is a step of its own.
class AddRmsNorm : public torch::autograd::Function<AddRmsNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const at::Tensor& residual, const at::Tensor& weight, double epsilon) {
    at::Tensor scales;
    const auto [sum, normed] = cuda::add_rms_norm(x, residual, weight, epsilon, &scales);
    context->save_for_backward({sum, weight, scales});
    return {sum, normed};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto d = differentiate(gradients[1].contiguous(), saved[0], saved[1], saved[2], context->needs_input_grad(2));
    const auto dsum = d.x.add_(gradients[0]);
    return {dsum, dsum, d.weight, at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const auto scale = (wide.square().mean(-1, /*keepdim=*/true) + epsilon).rsqrt();
  return (wide * scale).to(x.scalar_type()) * weight;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  core::check_shape(weight, {x.size(-1)}, "rms_norm.weight");
  const bool fused = x.is_cuda() || (x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat);
  if (!fused) return rms_norm_reference(x, weight, epsilon);
  const auto input = x.contiguous();
  return at::GradMode::is_enabled() ? RmsNorm::apply(input, weight, epsilon) : normalise(input, weight, epsilon).first;
}

AddedNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double epsilon) {
  core::check_shape(residual, x.sizes(), "add_rms_norm.residual");
  if (!x.is_cuda()) {
    const auto sum = x + residual;
    return {.sum = sum, .normed = rms_norm(sum, weight, epsilon)};
  }
  core::check_shape(weight, {x.size(-1)}, "add_rms_norm.weight");
  const auto a = x.contiguous(), b = residual.contiguous();
  if (!at::GradMode::is_enabled()) {
    const auto [sum, normed] = cuda::add_rms_norm(a, b, weight, epsilon, nullptr);
    return {.sum = sum, .normed = normed};
  }
  const auto results = AddRmsNorm::apply(a, b, weight, epsilon);
  return {.sum = results[0], .normed = results[1]};
}

}  // namespace sightloop::kernels
