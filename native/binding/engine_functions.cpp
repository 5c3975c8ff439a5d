#include "binding/engine_functions.h"

#include <ATen/ATen.h>

#include "binding/columns.h"
#include "binding/engine_handle.h"
#include "binding/guard.h"
#include "binding/tensors.h"
#include "binding/wrap.h"

// Each function: arguments on the JavaScript thread, work on the engine thread, result on the JavaScript thread.
namespace sightloop::binding {
namespace {

using Settle = EngineThread::Settle;

// score(engine, rollouts, which: "policy" | "reference", temperature, stop): Promise<{ logprobs, entropy }>
Napi::Value score(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto columns = object_argument(info, 1, "rollouts");
    const auto which = string_argument(info, 2, "which") == "policy" ? engine::Which::policy : engine::Which::reference;
    const auto temperature = number_argument(info, 3, "temperature");
    return handle->thread.run(
        info.Env(),
        [handle, batch = read_rollouts(columns), which, temperature](const std::stop_token& stop) -> Settle {
          return [scores = handle->open().score(batch, which, temperature, stop)](Napi::Env env) {
            auto result = Napi::Object::New(env);
            result.Set("logprobs", share(env, scores.logprobs));
            result.Set("entropy", share(env, scores.entropy));
            return result;
          };
        },
        stop_argument(info, 4), {columns});
  });
}

// advantages(engine, rollouts, { reward, policy_logprobs, reference_logprobs | null }): Promise<Float32Array>
Napi::Value advantages(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto columns = object_argument(info, 1, "rollouts"), more = object_argument(info, 2, "scores");
    const auto batch = read_rollouts(columns);
    const auto reward = borrow(more.Get("reward"), at::kFloat, "reward");
    const auto policy = optional_floats(more, "policy_logprobs"),
               reference = optional_floats(more, "reference_logprobs");
    TORCH_CHECK(reward.numel() == batch.rows(), "reward: expected ", batch.rows(), " rows, got ", reward.numel());
    TORCH_CHECK(policy.defined() && policy.numel() == batch.token_ids.numel(), "policy_logprobs: expected ",
                batch.token_ids.numel(), " tokens");
    TORCH_CHECK(!reference.defined() || reference.numel() == batch.token_ids.numel(), "reference_logprobs: expected ",
                batch.token_ids.numel(), " tokens");
    return handle->thread.run(info.Env(),
                              [handle, batch, reward, policy, reference](const std::stop_token&) -> Settle {
                                return [result = handle->open().advantages(batch, reward, policy, reference)](
                                           Napi::Env env) { return share(env, result); };
                              },
                              {}, {columns, more});
  });
}

// [R] 1 for rows of this rank; null: all are.
std::vector<uint8_t> own_rows_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info[index].IsNull() || info[index].IsUndefined()) return {};
  const auto rows = batches::values<uint8_t>(borrow(info[index], at::kByte, "own_rows"));
  return {rows.begin(), rows.end()};
}

// update(engine, trajectories, temperature, max_consecutive_skips, stop): Promise<UpdateStats>
Napi::Value update(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto columns = object_argument(info, 1, "trajectories");
    const auto temperature = number_argument(info, 2, "temperature");
    const auto max_skips = static_cast<int64_t>(number_argument(info, 3, "max_consecutive_skips"));
    return handle->thread.run(
        info.Env(),
        [handle, batch = read_trajectories(columns), temperature, max_skips,
         own_rows = own_rows_argument(info, 4)](const std::stop_token& stop) -> Settle {
          return [stats = handle->open().update(batch, temperature, max_skips, own_rows, stop)](Napi::Env env) {
            auto result = Napi::Object::New(env);
            const auto set = [&](const char* name, auto value) {
              result.Set(name, Napi::Number::New(env, static_cast<double>(value)));
            };
            set("loss", stats.loss);
            set("policy_loss", stats.policy_loss);
            set("kl_reference", stats.kl_reference);
            set("kl_old_policy", stats.kl_old_policy);
            set("clip_fraction", stats.clip_fraction);
            set("clip_fraction_low", stats.clip_fraction_low);
            set("clip_fraction_high", stats.clip_fraction_high);
            set("dual_clip_fraction", stats.dual_clip_fraction);
            if (stats.importance_corrected) {
              set("importance_weight_mean", stats.importance_weight_mean);
              set("importance_weight_max", stats.importance_weight_max);
              set("importance_capped", stats.importance_capped);
              set("effective_sample_size", stats.effective_sample_size);
            }
            set("entropy", stats.entropy);
            set("ratio_max", stats.ratio_max);
            set("grad_norm", stats.grad_norm);
            set("learning_rate", stats.learning_rate);
            set("optimizer_step", stats.optimizer_step);
            set("clamped_log_ratios", stats.clamped_log_ratios);
            set("skipped_completions", stats.skipped_completions);
            set("completion_tokens", stats.completion_tokens);
            set("computed_tokens", stats.computed_tokens);
            set("forward_seconds", stats.forward_seconds);
            set("backward_seconds", stats.backward_seconds);
            set("optimizer_seconds", stats.optimizer_seconds);
            set("reduce_seconds", stats.reduce_seconds);
            set("skipped_updates", stats.skipped_updates);
            auto divergences = Napi::Array::New(env, stats.divergences.size());
            for (uint32_t i = 0; i < stats.divergences.size(); ++i)
              divergences[i] = write_divergence(env, stats.divergences[i]);
            result.Set("divergences", divergences);
            return result;
          };
        },
        stop_argument(info, 5), {columns});
  });
}

// updateOrder(engine, groups, optimizer steps ahead): Promise<Int32Array>
Napi::Value update_order(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto groups = static_cast<size_t>(number_argument(info, 1, "groups"));
    const auto ahead = static_cast<int64_t>(number_argument(info, 2, "ahead"));
    return handle->thread.run(info.Env(), [handle, groups, ahead](const std::stop_token&) -> Settle {
      return [order = handle->open().update_order(groups, ahead)](Napi::Env env) {
        auto result = Napi::Int32Array::New(env, order.size());
        std::copy(order.begin(), order.end(), result.Data());
        return result;
      };
    });
  });
}

Napi::Object write_tensors(Napi::Env env, const std::map<std::string, at::Tensor>& tensors) {
  auto result = Napi::Object::New(env);
  for (const auto& [name, tensor] : tensors) {
    auto shape = Napi::Array::New(env, tensor.sizes().size());
    for (uint32_t i = 0; i < tensor.sizes().size(); ++i) shape[i] = static_cast<double>(tensor.size(i));
    auto entry = Napi::Object::New(env);
    entry.Set("shape", shape);
    entry.Set("data", share(env, tensor.contiguous()));
    result.Set(name, entry);
  }
  return result;
}

// inspectGradients(engine, trajectories, temperature, own_rows): Promise<Record<string, { shape: number[], data: Float32Array }>>
Napi::Value inspect_gradients(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto columns = object_argument(info, 1, "trajectories");
    const auto temperature = number_argument(info, 2, "temperature");
    return handle->thread.run(info.Env(),
                              [handle, batch = read_trajectories(columns), temperature,
                               own_rows = own_rows_argument(info, 3)](const std::stop_token&) -> Settle {
                                return [gradients = handle->open().inspect_gradients(batch, temperature, own_rows)](
                                           Napi::Env env) { return write_tensors(env, gradients); };
                              },
                              {}, {columns});
  });
}

// inspect(engine, prompts): Promise<Record<string, { shape: number[], data: Float32Array }>[]>
Napi::Value inspect(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto columns = object_argument(info, 1, "prompts");
    return handle->thread.run(info.Env(),
                              [handle, batch = read_prompts(columns)](const std::stop_token&) -> Settle {
                                return [rows = handle->open().inspect(batch)](Napi::Env env) {
                                  auto result = Napi::Array::New(env, rows.size());
                                  for (uint32_t row = 0; row < rows.size(); ++row)
                                    result[row] = write_tensors(env, rows[row]);
                                  return result;
                                };
                              },
                              {}, {columns});
  });
}

}  // namespace

void init_engine_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"score", score},
                    {"advantages", advantages},
                    {"update", update},
                    {"updateOrder", update_order},
                    {"inspect", inspect},
                    {"inspectGradients", inspect_gradients},
                });
}

}  // namespace sightloop::binding
