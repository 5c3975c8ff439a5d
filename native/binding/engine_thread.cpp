#include "binding/engine_thread.h"

#include <c10/util/Exception.h>

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "binding/tensors.h"
#include "core/check.h"
#include "core/diverged.h"
#include "core/stop.h"

namespace sightloop::binding {
namespace {

struct Failure {
  const char* code;
  std::string message;
  std::optional<core::Divergence> divergence = std::nullopt;
};

// A check of ours speaks to the user; anything else is our bug. libtorch's allocators report as a check of theirs.
Failure failure_of(const c10::Error& error) {
  std::string message = error.what_without_backtrace();
  const auto says = [&](const char* part) { return message.find(part) != std::string::npos; };
  if (says("can't allocate memory") || says("out of memory")) return {.code = "MEMORY", .message = std::move(message)};
  const bool bug = says("INTERNAL ASSERT FAILED") || !core::is_own(error);
  return {.code = bug ? "BUG" : "CHECK", .message = bug ? error.what() : std::move(message)};
}

}  // namespace

struct EngineThread::Call {
  EngineThread* owner;
  Napi::Promise::Deferred deferred;
  Job job;
  std::stop_token stop;
  std::vector<Napi::Reference<Napi::Value>> inputs;
  Settle settle;
  std::optional<Failure> failure;

  // `ending`: the environment is going down; stops the job like its own token does.
  void execute(const std::stop_token& ending) {
    std::stop_source either;
    const auto forward = [&] { either.request_stop(); };
    const std::stop_callback from_caller(stop, forward), from_environment(ending, forward);
    try {
      core::throw_if_stopped(either.get_token());
      settle = job(either.get_token());
    } catch (const core::Stopped& error) {
      failure = {.code = "STOPPED", .message = error.what()};
    } catch (const core::Diverged& error) {
      failure = {.code = "DIVERGED", .message = error.what(), .divergence = error.divergence};
    } catch (const c10::Error& error) {
      failure = failure_of(error);
    } catch (const std::bad_alloc&) {
      failure = {.code = "MEMORY", .message = "the engine ran out of memory"};
    } catch (const std::exception& error) {
      failure = {.code = "BUG", .message = error.what()};
    }
  }
};

namespace {

// Jobs running in this process. process.exit() ends in libc's exit(), which destroys libtorch's statics while an engine
// thread may still use them. The handler below leaves at once when a job is running. Process-wide because exit handlers are.
std::atomic<int> running_jobs{0};

void leave_if_busy(int status, void* /*unused*/) {
  if (running_jobs.load() > 0) _exit(status);
}

struct RunningJob {
  RunningJob() { running_jobs.fetch_add(1); }
  ~RunningJob() { running_jobs.fetch_sub(1); }
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;
};

}  // namespace

void leave_at_exit_if_busy() {
#ifdef __GLIBC__
  on_exit(leave_if_busy, nullptr);
#endif
}

EngineThread::EngineThread(Napi::Env env)
    : env_(env), callback_(Callback::New(env, "sightloop-engine", /*maxQueueSize=*/0, /*initialThreadCount=*/1)) {
  callback_.Unref(env);
  thread_ = std::thread([this] { work(); });
  napi_add_env_cleanup_hook(env_, end_with_environment, this);
}

EngineThread::~EngineThread() {
  forget_environment();
  abandon();
}

void EngineThread::forget_environment() {
  if (thread_.joinable()) napi_remove_env_cleanup_hook(env_, end_with_environment, this);
}

void EngineThread::end_with_environment(void* self) { static_cast<EngineThread*>(self)->abandon(); }

void EngineThread::finish() {
  forget_environment();
  join();
}

void EngineThread::abandon() {
  ending_.request_stop();
  join();
  // A call may hold the last reference to this thread's owner: nothing of this object is touched after them.
  const auto unsettled = std::exchange(unsettled_, {});
  const auto queued = std::exchange(queue_, {});
}

void EngineThread::join() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
  callback_.Release();
}

Napi::Promise EngineThread::run(Napi::Env env, Job job, std::stop_token stop, std::vector<Napi::Value> inputs) {
  auto call = std::make_unique<Call>(Call{.owner = this,
                                          .deferred = Napi::Promise::Deferred::New(env),
                                          .job = std::move(job),
                                          .stop = std::move(stop),
                                          .inputs = {},
                                          .settle = {},
                                          .failure = {}});
  for (const auto& input : inputs) call->inputs.push_back(Napi::Reference<Napi::Value>::New(input, 1));
  const auto promise = call->deferred.Promise();
  {
    const std::lock_guard lock(mutex_);
    if (closing_) {
      auto error = Napi::Error::New(env, "the engine is closed");
      error.Set("code", Napi::String::New(env, "CHECK"));
      call->deferred.Reject(error.Value());
      return promise;
    }
    queue_.push_back(std::move(call));
  }
  if (pending_++ == 0) callback_.Ref(env);
  changed_.notify_one();
  return promise;
}

void EngineThread::work() {
  for (;;) {
    std::unique_ptr<Call> call;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty() || ending_.stop_requested()) return;
      call = std::move(queue_.front());
      queue_.pop_front();
    }
    {
      const RunningJob running;
      call->execute(ending_.get_token());
    }
    auto* settled = call.release();
    // Refused once the environment is going down. A call is only ever destroyed on the JavaScript thread.
    if (callback_.BlockingCall(settled) != napi_ok) unsettled_.emplace_back(settled);
  }
}

void EngineThread::settle(Napi::Env env, Napi::Function, std::nullptr_t*, Call* raw) {
  const std::unique_ptr<Call> call(raw);
  if (env == nullptr) return;  // torn down: nobody is waiting any more
  const Napi::HandleScope scope(env);
  if (--call->owner->pending_ == 0) call->owner->callback_.Unref(env);
  // A worker that is being terminated runs no JavaScript any more: whatever is called then throws, and nobody waits.
  try {
    if (call->failure) {
      auto error = Napi::Error::New(env, call->failure->message);
      error.Set("code", Napi::String::New(env, call->failure->code));
      if (call->failure->divergence) error.Set("divergence", write_divergence(env, *call->failure->divergence));
      call->deferred.Reject(error.Value());
      return;
    }
    try {
      call->deferred.Resolve(call->settle(env));
    } catch (const Napi::Error& error) {
      call->deferred.Reject(error.Value());
    }
  } catch (const Napi::Error&) {
  }
}

}  // namespace sightloop::binding
