#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <ATen/Parallel.h>
#include <napi.h>

namespace {
Napi::Value version(const Napi::CallbackInfo& info) {
  auto total = at::ones({4}).sum().item<double>();
  at::parallel_for(0, 4, 1, [](int64_t, int64_t) {});
  return Napi::String::New(info.Env(), total == 4 ? "0.1.0" : "broken");
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("version", Napi::Function::New(env, version));
  return exports;
}
}  // namespace

NODE_API_MODULE(sightloop, init)
