#include "binding/ranks_functions.h"

#include <ATen/ATen.h>

#include "binding/guard.h"
#include "binding/tensors.h"
#include "binding/wrap.h"

namespace sightloop::binding {
namespace {

using Settle = EngineThread::Settle;
constexpr napi_type_tag kRanksTag = {0x516768743172616eULL, 0x6b7300000000006cULL};

std::shared_ptr<RanksHandle> ranks_argument(const Napi::CallbackInfo& info, size_t index) {
  return unwrap_as<std::shared_ptr<RanksHandle>>(info, index, kRanksTag, "ranks");
}

collectives::RendezvousOptions parse_rendezvous(const nlohmann::json& json) {
  const auto milliseconds = [&](const char* name) {
    return std::chrono::milliseconds(static_cast<int64_t>(json.at(name).get<double>() * 1000));
  };
  return {.rank = json.at("rank"),
          .world_size = json.at("world_size"),
          .address = json.at("address"),
          .port = json.at("port"),
          .store_is_launchers = json.at("store_is_launchers"),
          .attempt = json.at("attempt"),
          .interface = json.at("interface"),
          .rendezvous_timeout = milliseconds("rendezvous_timeout_s"),
          .collective_timeout = milliseconds("collective_timeout_s")};
}

// openRanks(options: string): Promise<{ ranks, local_address }>
Napi::Value open_ranks(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto options = parse_rendezvous(nlohmann::json::parse(string_argument(info, 0, "options")));
    auto handle = std::make_shared<RanksHandle>(info.Env());
    return handle->thread.run(info.Env(), [handle, options](const std::stop_token&) -> Settle {
      handle->ranks = std::make_unique<collectives::Ranks>(options);
      return [handle, address = handle->ranks->local_address()](Napi::Env env) {
        auto result = Napi::Object::New(env);
        result.Set("ranks", wrap_as(env, handle, kRanksTag));
        result.Set("local_address", address);
        return result;
      };
    });
  });
}

// exchange(ranks, bytes: Uint8Array): Promise<Uint8Array[]>   Every rank's bytes, by rank.
Napi::Value exchange(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = ranks_argument(info, 0);
    return handle->thread.run(info.Env(),
                              [handle, bytes = borrow(info[1], at::kByte, "bytes")](const std::stop_token&) -> Settle {
                                TORCH_CHECK(handle->ranks != nullptr, "the ranks are closed");
                                return [parts = handle->ranks->exchange(bytes)](Napi::Env env) {
                                  auto result = Napi::Array::New(env, parts.size());
                                  for (uint32_t rank = 0; rank < parts.size(); ++rank)
                                    result[rank] = share(env, parts[rank]);
                                  return result;
                                };
                              },
                              {}, {info[1]});
  });
}

// closeRanks(ranks): Promise<void>
Napi::Value close_ranks(const Napi::CallbackInfo& info) {
  const auto handle = ranks_argument(info, 0);
  return handle->thread.run(info.Env(), [handle](const std::stop_token&) -> Settle {
    handle->ranks.reset();
    return [handle](Napi::Env env) {
      handle->thread.finish();
      return env.Undefined();
    };
  });
}

}  // namespace

std::shared_ptr<collectives::ProcessGroup> training_group_argument(const Napi::CallbackInfo& info, size_t index,
                                                                   at::Device device) {
  if (info[index].IsNull() || info[index].IsUndefined()) return std::make_shared<collectives::SingleProcess>();
  const auto handle = ranks_argument(info, index);
  TORCH_CHECK(handle->ranks != nullptr, "the ranks are closed");
  return handle->ranks->training(device);
}

void init_ranks_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"openRanks", open_ranks},
                    {"exchange", exchange},
                    {"closeRanks", close_ranks},
                });
}

}  // namespace sightloop::binding
