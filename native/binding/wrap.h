#pragma once
#include <napi.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace sightloop::binding {

// Handles that JavaScript holds. A foreign or stale one throws instead of corrupting memory.
template <typename T>
Napi::Value wrap_as(Napi::Env env, T value, const napi_type_tag& tag) {
  auto external = Napi::External<T>::New(env, new T(std::move(value)), [](Napi::Env, T* held) { delete held; });
  external.TypeTag(&tag);
  return external;
}

template <typename T>
T& unwrap_as(const Napi::CallbackInfo& info, size_t index, const napi_type_tag& tag, const char* name) {
  if (!info[index].IsExternal() || !info[index].As<Napi::External<T>>().CheckTypeTag(&tag))
    throw Napi::TypeError::New(info.Env(), std::string("argument ") + std::to_string(index) + " is not " + name);
  return *info[index].As<Napi::External<T>>().Data();
}

// Puts functions under their names into the addon.
using Functions = std::initializer_list<std::pair<const char*, Napi::Value (*)(const Napi::CallbackInfo&)>>;
inline void add_functions(Napi::Env env, Napi::Object exports, Functions functions) {
  for (const auto& [name, function] : functions) exports.Set(name, Napi::Function::New(env, function, name));
}

}  // namespace sightloop::binding
