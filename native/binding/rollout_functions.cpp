#include "binding/rollout_functions.h"

#include <ATen/ATen.h>

#include "binding/columns.h"
#include "binding/engine_handle.h"
#include "binding/guard.h"
#include "binding/tensors.h"
#include "binding/wrap.h"

namespace sightloop::binding {
namespace {

using Settle = EngineThread::Settle;

// rolloutOpen(engine, sampling: string): Promise<session>
Napi::Value rollout_open(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto options = engine::parse_sampling_options(nlohmann::json::parse(string_argument(info, 1, "sampling")));
    return handle->thread.run(info.Env(), [handle, options](const std::stop_token&) -> Settle {
      auto session = std::make_shared<SessionHandle>(
          SessionHandle{.owner = handle, .session = handle->open().open_rollout(options)});
      return [session](Napi::Env env) { return wrap(env, session); };
    });
  });
}

// rolloutAdd(session, prompts, completions_per_prompt): Promise<void>
Napi::Value rollout_add(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto session = session_argument(info, 0);
    const auto columns = object_argument(info, 1, "prompts");
    const auto wanted = number_argument(info, 2, "completions_per_prompt");
    TORCH_CHECK(wanted >= 1 && wanted <= 1e6, "completions_per_prompt must be from 1 to 1,000,000, got ", wanted);
    const auto count = static_cast<int64_t>(wanted);
    return session->owner->thread.run(info.Env(),
                                      [session, batch = read_prompts(columns), count](const std::stop_token&) {
                                        session->owner->open();
                                        session->open().add(batch, count);
                                        return EngineThread::nothing();
                                      },
                                      {}, {columns});
  });
}

struct Finished {
  int64_t prompt_id;
  rollout::Completion completion;
};

Napi::Object write_completion(Napi::Env env, const Finished& finished) {
  const auto& [prompt_id, completion] = finished;
  auto token_ids = Napi::Int32Array::New(env, completion.token_ids.size());
  std::copy(completion.token_ids.begin(), completion.token_ids.end(), token_ids.Data());
  auto logprobs = Napi::Float32Array::New(env, completion.logprobs.size());
  std::copy(completion.logprobs.begin(), completion.logprobs.end(), logprobs.Data());
  auto object = Napi::Object::New(env);
  object.Set("prompt_id", static_cast<double>(prompt_id));
  object.Set("sample_index", static_cast<double>(completion.sample_index));
  object.Set("token_ids", token_ids);
  object.Set("rollout_logprobs", logprobs);
  object.Set(
      "finish_reason",
      !completion.finish_reason
          ? env.Null()
          : Napi::String::New(env, *completion.finish_reason == batches::FinishReason::stop ? "stop" : "length"));
  return object;
}

// rolloutAdvance(session, stop): Promise<Completion[]>   Empty once everything has finished.
Napi::Value rollout_advance(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto session = session_argument(info, 0);
    return session->owner->thread.run(
        info.Env(),
        [session](const std::stop_token& stop) -> Settle {
          session->owner->open();
          std::vector<Finished> finished;
          for (const auto* completion : session->open().advance(stop))
            finished.push_back({.prompt_id = session->session->prompt_id(*completion), .completion = *completion});
          return [finished = std::move(finished)](Napi::Env env) {
            auto result = Napi::Array::New(env, finished.size());
            for (uint32_t i = 0; i < finished.size(); ++i) result[i] = write_completion(env, finished[i]);
            return result;
          };
        },
        stop_argument(info, 1));
  });
}

Napi::Object write_timings(Napi::Env env, const core::RolloutTimings& timings) {
  auto object = Napi::Object::New(env);
  object.Set("vision_seconds", timings.vision_seconds);
  object.Set("prefill_seconds", timings.prefill_seconds);
  object.Set("decode_seconds", timings.decode_seconds);
  object.Set("sampling_seconds", timings.sampling_seconds);
  object.Set("prefilled_prompts", static_cast<double>(timings.prefilled_prompts));
  object.Set("vision_images", static_cast<double>(timings.vision_images));
  return object;
}

// rolloutCollect(session): Promise<rollout columns, timings and sampling_margin_min>   Everything must have finished.
Napi::Value rollout_collect(const Napi::CallbackInfo& info) {
  const auto session = session_argument(info, 0);
  return session->owner->thread.run(info.Env(), [session](const std::stop_token&) -> Settle {
    return [batch = session->open().collect(), timings = session->open().timings(),
            margin = session->open().smallest_margin()](Napi::Env env) {
      auto columns = write_rollouts(env, batch);
      columns.Set("timings", write_timings(env, timings));
      columns.Set("sampling_margin_min", static_cast<double>(margin));
      return columns;
    };
  });
}

// rolloutClose(session): Promise<void>   Frees the KV cache, also after the engine has been closed.
Napi::Value rollout_close(const Napi::CallbackInfo& info) {
  const auto session = session_argument(info, 0);
  if (session->owner->thread.finished()) {
    session->session.reset();
    const auto done = Napi::Promise::Deferred::New(info.Env());
    done.Resolve(info.Env().Undefined());
    return done.Promise();
  }
  return session->owner->thread.run(info.Env(), [session](const std::stop_token&) {
    session->session.reset();
    return EngineThread::nothing();
  });
}

// filterLogits(logits: Float32Array, temperature, top_k, top_p): Float32Array   One row, as the sampler sees it.
Napi::Value filter_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto logits = borrow(info[0], at::kFloat, "logits");
    const auto kept = kernels::filter_logits(batches::values<float>(logits),
                                             {.temperature = number_argument(info, 1, "temperature"),
                                              .top_k = static_cast<int64_t>(number_argument(info, 2, "top_k")),
                                              .top_p = number_argument(info, 3, "top_p"),
                                              .banned = {}});
    return share(info.Env(), at::tensor(kept, at::kFloat));
  });
}

}  // namespace

void init_rollout_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"rolloutOpen", rollout_open},
                    {"rolloutAdd", rollout_add},
                    {"rolloutAdvance", rollout_advance},
                    {"rolloutCollect", rollout_collect},
                    {"rolloutClose", rollout_close},
                    {"filterLogits", filter_logits},
                });
}

}  // namespace sightloop::binding
