#pragma once
#include <c10/util/Exception.h>
#include <napi.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/check.h"

namespace sightloop::binding {

// Runs `body` on the JavaScript thread; a failure becomes a JS Error with the message alone, `code` CHECK.
template <typename Body>
Napi::Value guarded(const Napi::CallbackInfo& info, Body body) {
  const auto checked = [&](const std::string& message) {
    auto error = Napi::Error::New(info.Env(), message);
    error.Set("code", Napi::String::New(info.Env(), "CHECK"));
    return error;
  };
  try {
    return body();
  } catch (const c10::Error& error) {
    if (!core::is_own(error)) throw Napi::Error::New(info.Env(), error.what());
    throw checked(error.what_without_backtrace());
  } catch (const nlohmann::json::exception& error) {
    throw checked(std::string("options: ") + error.what());
  }
}

}  // namespace sightloop::binding
