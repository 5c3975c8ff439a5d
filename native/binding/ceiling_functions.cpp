#include "binding/ceiling_functions.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include "binding/engine_handle.h"
#include "binding/guard.h"
#include "binding/tensors.h"
#include "binding/wrap.h"
#include "ceilings/ceilings.h"
#include "core/device.h"
#include "core/instruction_set.h"
#include "engine/options.h"
#include "kernels/kernels.h"

namespace sightloop::binding {
namespace {

// Runs `work` on a thread of its own with a team of `threads`, as an engine would. Returns a number.
Napi::Value measured(const Napi::CallbackInfo& info, int threads, std::function<double()> work) {
  auto handle = std::make_shared<EngineHandle>(info.Env());
  return handle->thread.run(info.Env(),
                            [handle, threads, work = std::move(work)](const std::stop_token&) -> EngineThread::Settle {
                              at::set_num_threads(threads);
                              return [handle, value = work()](Napi::Env env) { return Napi::Number::New(env, value); };
                            });
}

ceilings::Product product_argument(const Napi::CallbackInfo& info, size_t index) {
  const auto name = string_argument(info, index, "product");
  if (name == "forward") return ceilings::Product::forward;
  if (name == "input_gradient") return ceilings::Product::input_gradient;
  TORCH_CHECK(name == "weight_gradient", "product: expected forward, input_gradient or weight_gradient, got ", name);
  return ceilings::Product::weight_gradient;
}

ceilings::Where where_argument(const Napi::CallbackInfo& info, size_t index) {
  return {.device = at::Device(string_argument(info, index, "device")),
          .dtype = engine::parse_dtype(string_argument(info, index + 1, "dtype"))};
}

// measureGemm(product, rows, inputs, outputs, threads, seconds, device, dtype): Promise<number>   FLOP/s
Napi::Value measure_gemm(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto size = [&](size_t index, const char* name) {
      return static_cast<int64_t>(number_argument(info, index, name));
    };
    const ceilings::GemmShape shape{.product = product_argument(info, 0),
                                    .rows = size(1, "rows"),
                                    .inputs = size(2, "inputs"),
                                    .outputs = size(3, "outputs")};
    const auto seconds = number_argument(info, 5, "seconds");
    return measured(info, static_cast<int>(size(4, "threads")), [shape, seconds, where = where_argument(info, 6)] {
      return ceilings::gemm_flops_per_second(shape, seconds, where);
    });
  });
}

// measureBandwidth(bytes, threads, seconds, device, dtype): Promise<number>   bytes/s
Napi::Value measure_bandwidth(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto bytes = static_cast<int64_t>(number_argument(info, 0, "bytes"));
    const auto seconds = number_argument(info, 2, "seconds");
    return measured(info, static_cast<int>(number_argument(info, 1, "threads")),
                    [bytes, seconds, where = where_argument(info, 3)] {
                      return ceilings::read_bytes_per_second(bytes, seconds, where);
                    });
  });
}

// numerics(): what else rounding depends on, besides threads
Napi::Value numerics(const Napi::CallbackInfo& info) {
  auto result = Napi::Object::New(info.Env());
  result.Set("libtorch", TORCH_VERSION);
  result.Set("instruction_set", core::instruction_set());
  result.Set("products", kernels::fastest_product());
  return result;
}

// cudaDevices(): NVIDIA devices that this build can use
Napi::Value cuda_devices(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), core::cuda_devices()); }

// freeDeviceBytes(device: string): number | null   null for the CPU
Napi::Value free_device_bytes(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto free = core::free_device_bytes(at::Device(string_argument(info, 0, "device")));
    return free ? Napi::Number::New(info.Env(), static_cast<double>(*free)).As<Napi::Value>() : info.Env().Null();
  });
}

}  // namespace

void init_ceiling_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"measureGemm", measure_gemm},
                    {"measureBandwidth", measure_bandwidth},
                    {"numerics", numerics},
                    {"cudaDevices", cuda_devices},
                    {"freeDeviceBytes", free_device_bytes},
                });
  exports.Set("libtorchVersion", Napi::String::New(env, TORCH_VERSION));
}

}  // namespace sightloop::binding
