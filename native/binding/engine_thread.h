#pragma once
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace sightloop::binding {

// The one thread of an engine: jobs run in the order they were queued, never two at once, so that collectives meet in
// the same order on every rank. A second one, for images only, works beside it where that is asked for. JavaScript
// values never reach it.
class EngineThread {
 public:
  using Settle = std::function<Napi::Value(Napi::Env)>;            // builds the result, on the JavaScript thread
  using Job = std::function<Settle(const std::stop_token& stop)>;  // works, on the engine thread

  // The result of a job that has none.
  static Settle nothing() {
    return [](Napi::Env env) { return env.Undefined(); };
  }

  explicit EngineThread(Napi::Env env);
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;
  ~EngineThread();

  // Queues a job. `inputs` are kept alive until it has settled. Rejections carry `code`: STOPPED, MEMORY, CHECK (the
  // message is for the user), BUG, or DIVERGED with `divergence`.
  Napi::Promise run(Napi::Env env, Job job, std::stop_token stop = {}, std::vector<Napi::Value> inputs = {});

  // Ends the thread, and its OpenMP team with it, once what is queued has run; later calls of `run` reject. On the
  // JavaScript thread, which waits for it.
  void finish();
  bool finished() const { return !thread_.joinable(); }

 private:
  struct Call;
  void work();
  // As `finish`, but stops the running job and drops what is queued.
  void abandon();
  void join();
  void forget_environment();
  static void end_with_environment(void* self);
  static void settle(Napi::Env env, Napi::Function, std::nullptr_t*, Call* call);
  using Callback = Napi::TypedThreadSafeFunction<std::nullptr_t, Call, &EngineThread::settle>;

  Napi::Env env_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Call>> queue_;
  std::vector<std::unique_ptr<Call>> unsettled_;
  bool closing_ = false;
  std::stop_source ending_;
  size_t pending_ = 0;  // on the JavaScript thread only: keeps the event loop alive while calls are under way
  Callback callback_;
  std::thread thread_;
};

// Call it when the process has begun to exit: handlers run last in, first out, and libraries register theirs when they are
// first used, so that only the latest of all comes before their statics are destroyed.
void leave_at_exit_if_busy();

}  // namespace sightloop::binding
