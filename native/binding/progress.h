#pragma once
#include <napi.h>

#include <chrono>
#include <cstdint>
#include <memory>

namespace sightloop::binding {

// Calls a JavaScript function `(done: number, total: number) => void` from the engine thread, at most ten times a second
// and once more at the end. Does not keep the event loop alive.
class Progress {
 public:
  // The function that argument `index` is, or nobody if it is undefined or null.
  static std::shared_ptr<Progress> argument(const Napi::CallbackInfo& info, size_t index);

  explicit Progress(Napi::ThreadSafeFunction function) : function_(std::move(function)) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { function_.Release(); }

  void operator()(int64_t done, int64_t total);

 private:
  Napi::ThreadSafeFunction function_;
  std::chrono::steady_clock::time_point told_;
};

}  // namespace sightloop::binding
