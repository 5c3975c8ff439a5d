#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <string>
#include <vector>

#include "core/diverged.h"

namespace sightloop::binding {

// A tensor over the memory of a typed array, not a copy: keep the array alive while the tensor is used.
at::Tensor borrow(const Napi::Value& value, at::ScalarType dtype, const char* name);

// A typed array over the memory of a contiguous CPU tensor, not a copy: the tensor lives as long as the array.
Napi::Value share(Napi::Env env, const at::Tensor& tensor);

// Arrow's packed booleans, least significant bit first <-> one byte each.
at::Tensor pack_bits(const at::Tensor& bytes);
at::Tensor unpack_bits(const at::Tensor& bits, int64_t count);

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* name);
std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* name);
double number_argument(const Napi::CallbackInfo& info, size_t index, const char* name);
std::vector<std::string> strings(const Napi::Value& value, const char* name);

// Fields as Divergence in the TypeScript layer.
Napi::Object write_divergence(Napi::Env env, const core::Divergence& divergence);

}  // namespace sightloop::binding
