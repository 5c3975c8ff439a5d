#include "binding/tensors.h"

#include <ATen/ATen.h>

#include <memory>

namespace sightloop::binding {
namespace {

struct Kind {
  napi_typedarray_type array;
  at::ScalarType dtype;
};
constexpr Kind kKinds[] = {{napi_int32_array, at::kInt},
                           {napi_float32_array, at::kFloat},
                           {napi_uint8_array, at::kByte},
                           {napi_bigint64_array, at::kLong}};

[[noreturn]] void refuse(Napi::Env env, const char* name, const char* expected) {
  throw Napi::TypeError::New(env, std::string(name) + " must be " + expected);
}

}  // namespace

at::Tensor borrow(const Napi::Value& value, at::ScalarType dtype, const char* name) {
  for (const auto& kind : kKinds) {
    if (kind.dtype != dtype || !value.IsTypedArray()) continue;
    const auto array = value.As<Napi::TypedArray>();
    if (array.TypedArrayType() != kind.array) continue;
    auto* bytes = static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    return at::from_blob(bytes, {static_cast<int64_t>(array.ElementLength())}, at::TensorOptions().dtype(dtype));
  }
  refuse(value.Env(), name, "a typed array of the right kind");
}

Napi::Value share(Napi::Env env, const at::Tensor& tensor) {
  TORCH_INTERNAL_ASSERT(tensor.is_contiguous() && tensor.is_cpu());
  const auto bytes = static_cast<int64_t>(tensor.nbytes()), count = tensor.numel();
  Napi::ArrayBuffer buffer;
  if (bytes == 0) {
    buffer = Napi::ArrayBuffer::New(env, 0);
  } else {
    auto owner = std::make_unique<at::Tensor>(tensor);
    buffer = Napi::ArrayBuffer::New(
        env, tensor.data_ptr(), static_cast<size_t>(bytes),
        [](Napi::BasicEnv finalizing, void*, at::Tensor* held) {
          Napi::MemoryManagement::AdjustExternalMemory(finalizing, -static_cast<int64_t>(held->nbytes()));
          delete held;
        },
        owner.get());
    owner.release();
    Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  }
  switch (tensor.scalar_type()) {
    case at::kInt:
      return Napi::Int32Array::New(env, count, buffer, 0);
    case at::kFloat:
      return Napi::Float32Array::New(env, count, buffer, 0);
    case at::kByte:
      return Napi::Uint8Array::New(env, count, buffer, 0);
    case at::kLong:
      return Napi::BigInt64Array::New(env, count, buffer, 0);
    default:
      TORCH_INTERNAL_ASSERT(false, "no typed array for ", tensor.scalar_type());
  }
}

at::Tensor pack_bits(const at::Tensor& bytes) {
  auto bits = at::zeros({(bytes.numel() + 7) / 8}, at::kByte);
  const auto* source = bytes.data_ptr<uint8_t>();
  auto* target = bits.data_ptr<uint8_t>();
  for (int64_t i = 0; i < bytes.numel(); ++i)
    if (source[i] != 0) target[i / 8] = static_cast<uint8_t>(target[i / 8] | (1U << (i % 8)));
  return bits;
}

at::Tensor unpack_bits(const at::Tensor& bits, int64_t count) {
  TORCH_CHECK(bits.numel() * 8 >= count, "completion_mask holds ", bits.numel() * 8, " bits, expected ", count);
  auto bytes = at::empty({count}, at::kByte);
  const auto* source = bits.data_ptr<uint8_t>();
  auto* target = bytes.data_ptr<uint8_t>();
  for (int64_t i = 0; i < count; ++i) target[i] = (source[i / 8] >> (i % 8)) & 1U;
  return bytes;
}

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsObject()) refuse(info.Env(), name, "an object");
  return info[index].As<Napi::Object>();
}

std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) refuse(info.Env(), name, "a string");
  return info[index].As<Napi::String>().Utf8Value();
}

double number_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsNumber()) refuse(info.Env(), name, "a number");
  return info[index].As<Napi::Number>().DoubleValue();
}

std::vector<std::string> strings(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) refuse(value.Env(), name, "an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < array.Length(); ++i) result.push_back(array.Get(i).ToString().Utf8Value());
  return result;
}

Napi::Object write_divergence(Napi::Env env, const core::Divergence& divergence) {
  auto object = Napi::Object::New(env);
  object.Set("optimizer_step", static_cast<double>(divergence.optimizer_step));
  object.Set("loss", divergence.loss);
  object.Set("grad_norm", divergence.grad_norm);
  auto parameters = Napi::Array::New(env, divergence.parameters.size());
  for (uint32_t i = 0; i < divergence.parameters.size(); ++i) parameters[i] = divergence.parameters[i];
  object.Set("parameters", parameters);
  auto rows = Napi::Array::New(env, divergence.rows.size());
  for (uint32_t i = 0; i < divergence.rows.size(); ++i) rows[i] = static_cast<double>(divergence.rows[i]);
  object.Set("minibatch_rows", rows);
  return object;
}

}  // namespace sightloop::binding
