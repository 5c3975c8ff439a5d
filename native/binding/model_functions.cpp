#include "binding/model_functions.h"

#include "binding/engine_handle.h"
#include "binding/guard.h"
#include "binding/progress.h"
#include "binding/ranks_functions.h"
#include "binding/tensors.h"
#include "binding/wrap.h"
#include "core/host_memory.h"
#include "core/stop.h"

// An engine's life: opened from a folder, saved, closed.
namespace sightloop::binding {
namespace {

using Settle = EngineThread::Settle;

Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

Napi::Object write_info(Napi::Env env, const engine::ModelInfo& info) {
  auto object = Napi::Object::New(env);
  object.Set("model_type", info.spec.model_type);
  object.Set("dtype", info.dtype == at::kFloat ? "float32" : "bfloat16");
  object.Set("num_parameters", number(env, static_cast<double>(info.num_parameters)));
  object.Set("num_trainable_parameters", number(env, static_cast<double>(info.num_trainable_parameters)));
  object.Set("vocab_size", number(env, static_cast<double>(info.spec.vocab_size)));
  object.Set("max_position_embeddings", number(env, static_cast<double>(info.spec.max_position_embeddings)));
  object.Set("image_token_id", number(env, static_cast<double>(info.spec.image_token_id)));
  object.Set("video_token_id", number(env, static_cast<double>(info.spec.video_token_id)));
  return object;
}

// Tells `listener`, if there is one, and stops when asked to.
models::Progress until_stopped(const std::shared_ptr<Progress>& listener, const std::stop_token& stop) {
  return [listener, stop](int64_t done, int64_t total) {
    core::throw_if_stopped(stop);
    if (listener) (*listener)(done, total);
  };
}

// openEngine(options: string, stop, progress: (done_bytes, total_bytes) => void, ranks): Promise<{ engine, model }>
Napi::Value open_engine(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    auto options = std::make_shared<engine::EngineOptions>(
        engine::parse_engine_options(nlohmann::json::parse(string_argument(info, 0, "options"))));
    auto handle = std::make_shared<EngineHandle>(info.Env());
    return handle->thread.run(
        info.Env(),
        [handle, options, listener = Progress::argument(info, 2),
         ranks = training_group_argument(info, 3, options->storage.device)](const std::stop_token& stop) -> Settle {
          handle->engine = std::make_unique<engine::Engine>(std::move(*options), until_stopped(listener, stop), ranks);
          return [handle, model = handle->engine->model_info()](Napi::Env env) {
            auto result = Napi::Object::New(env);
            result.Set("engine", wrap(env, handle));
            result.Set("model", write_info(env, model));
            return result;
          };
        },
        stop_argument(info, 1));
  });
}

// closeEngine(engine): Promise<void>   Frees the weights and ends the thread once what is queued has run.
Napi::Value close_engine(const Napi::CallbackInfo& info) {
  const auto handle = engine_argument(info, 0);
  return handle->thread.run(info.Env(), [handle](const std::stop_token&) -> Settle {
    handle->engine.reset();
    core::return_freed_memory();
    return [handle](Napi::Env env) {
      handle->finish();
      return env.Undefined();
    };
  });
}

// saveModel | saveAdapter | saveState (engine, folder: string): Promise<void>
template <auto method>
Napi::Value with_folder(const Napi::CallbackInfo& info) {
  const auto handle = engine_argument(info, 0);
  return handle->thread.run(info.Env(), [handle, folder = string_argument(info, 1, "folder")](const std::stop_token&) {
    (handle->open().*method)(folder);
    return EngineThread::nothing();
  });
}

// loadState(engine, folder: string, stop): Promise<void>
Napi::Value load_state(const Napi::CallbackInfo& info) {
  const auto handle = engine_argument(info, 0);
  return handle->thread.run(
      info.Env(),
      [handle, folder = string_argument(info, 1, "folder")](const std::stop_token& stop) {
        handle->open().load_state(folder, stop);
        return EngineThread::nothing();
      },
      stop_argument(info, 2));
}

// memory(engine): Promise<MemoryUse>
Napi::Value memory(const Napi::CallbackInfo& info) {
  const auto handle = engine_argument(info, 0);
  return handle->thread.run(info.Env(), [handle](const std::stop_token&) -> Settle {
    return [use = handle->open().memory()](Napi::Env env) {
      auto result = Napi::Object::New(env);
      const auto set = [&](const char* name, int64_t bytes) {
        result.Set(name, number(env, static_cast<double>(bytes)));
      };
      set("weights_bytes", use.weights_bytes);
      set("reference_bytes", use.reference_bytes);
      set("optimizer_bytes", use.optimizer_bytes);
      set("gradient_bytes", use.gradient_bytes);
      set("kv_cache_bytes", use.kv_cache_bytes);
      set("image_cache_bytes", use.image_cache_bytes);
      set("rss_bytes", use.rss_bytes);
      set("peak_rss_bytes", use.peak_rss_bytes);
      set("device_bytes", use.device_bytes);
      set("peak_device_bytes", use.peak_device_bytes);
      return result;
    };
  });
}

// initModel(folder: string, seed: number, dtype: string, stop, progress: (done_bytes, total_bytes) => void):
// Promise<number of parameters>
Napi::Value init_model(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    auto handle = std::make_shared<EngineHandle>(info.Env());
    const auto seed = static_cast<uint64_t>(number_argument(info, 1, "seed"));
    const auto dtype = engine::parse_dtype(string_argument(info, 2, "dtype"));
    return handle->thread.run(
        info.Env(),
        [handle, folder = string_argument(info, 0, "folder"), seed, dtype,
         listener = Progress::argument(info, 4)](const std::stop_token& stop) -> Settle {
          const auto parameters = engine::init_model(folder, seed, dtype, until_stopped(listener, stop));
          return [parameters, handle](Napi::Env env) { return number(env, static_cast<double>(parameters)); };
        },
        stop_argument(info, 3));
  });
}

}  // namespace

void init_model_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"openEngine", open_engine},
                    {"closeEngine", close_engine},
                    {"saveModel", with_folder<&engine::Engine::save_model>},
                    {"saveAdapter", with_folder<&engine::Engine::save_adapter>},
                    {"saveState", with_folder<&engine::Engine::save_state>},
                    {"loadState", load_state},
                    {"memory", memory},
                    {"initModel", init_model},
                    {"createStopSource", create_stop_source},
                    {"requestStop", request_stop},
                });
}

}  // namespace sightloop::binding
