#pragma once
#include <napi.h>

#include <memory>

#include "binding/engine_thread.h"
#include "collectives/rendezvous.h"

namespace sightloop::binding {

// What JavaScript holds as `ranks`: what the processes tell each other waits on a thread of its own, not the engine's.
struct RanksHandle {
  explicit RanksHandle(Napi::Env env) : thread(env) {}
  std::unique_ptr<collectives::Ranks> ranks;  // null before opening and after closing
  EngineThread thread;                        // last member: joined before the ranks go
};

// null or undefined: one process alone.
std::shared_ptr<collectives::ProcessGroup> training_group_argument(const Napi::CallbackInfo& info, size_t index,
                                                                   at::Device device);

void init_ranks_functions(Napi::Env env, Napi::Object exports);

}  // namespace sightloop::binding
