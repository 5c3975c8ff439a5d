#pragma once
#include <napi.h>

#include "batches/batches.h"

// Arrow columns as plain objects of typed arrays (src/engine/columns.ts) <-> the engine's batches. Flat lists share one
// `offsets`. Batches read from JavaScript borrow its memory: pass the object as an input of EngineThread::run.
namespace sightloop::binding {

batches::PromptBatch read_prompts(const Napi::Object& columns);
batches::RolloutBatch read_rollouts(const Napi::Object& columns);
batches::TrajectoryBatch read_trajectories(const Napi::Object& columns);

// A float32 column of `columns`, or an undefined tensor if it is null or absent.
at::Tensor optional_floats(const Napi::Object& columns, const char* name);

Napi::Object write_rollouts(Napi::Env env, const batches::RolloutBatch& batch);

}  // namespace sightloop::binding
