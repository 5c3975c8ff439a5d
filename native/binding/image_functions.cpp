#include "binding/image_functions.h"

#include <nlohmann/json.hpp>

#include "binding/engine_handle.h"
#include "binding/guard.h"
#include "binding/tensors.h"
#include "binding/wrap.h"

// Images on their way into an engine. Each function: arguments on the JavaScript thread, work on another, result on the
// JavaScript thread.
namespace sightloop::binding {
namespace {

using Settle = EngineThread::Settle;

constexpr napi_type_tag kPreparedTag = {0x5167687470726570ULL, 0x617265640000696dULL};

struct Pixels {
  at::Tensor rgb;
  int64_t height, width;
};

struct PixelArguments {
  std::vector<std::string> ids;
  std::vector<Pixels> images;
  Napi::Value owner;  // of the pixels
};

// From argument `first` on: ids: string[], rgb: Uint8Array[], heights: number[], widths: number[]
PixelArguments pixel_arguments(const Napi::CallbackInfo& info, size_t first) {
  const auto rgb = object_argument(info, first + 1, "rgb"), heights = object_argument(info, first + 2, "heights"),
             widths = object_argument(info, first + 3, "widths");
  PixelArguments arguments{.ids = strings(info[first], "ids"), .images = {}, .owner = rgb};
  for (uint32_t i = 0; i < arguments.ids.size(); ++i) {
    const auto& image = arguments.images.emplace_back(Pixels{.rgb = borrow(rgb.Get(i), at::kByte, "rgb"),
                                                             .height = heights.Get(i).ToNumber().Int64Value(),
                                                             .width = widths.Get(i).ToNumber().Int64Value()});
    data::check_pixels(image.rgb.numel(), image.height, image.width, "image " + arguments.ids[i]);
  }
  return arguments;
}

Napi::Array write_grid(Napi::Env env, const data::GridThw& grid) {
  auto result = Napi::Array::New(env, 3);
  result[0U] = static_cast<double>(grid.t);
  result[1U] = static_cast<double>(grid.h);
  result[2U] = static_cast<double>(grid.w);
  return result;
}

Settle write_grids(std::vector<data::GridThw> grids) {
  return [grids = std::move(grids)](Napi::Env env) {
    auto result = Napi::Array::New(env, grids.size());
    for (uint32_t i = 0; i < grids.size(); ++i) result[i] = write_grid(env, grids[i]);
    return result;
  };
}

// addImages(engine, ids, rgb, heights, widths): Promise<number[][]>   Their grids.
Napi::Value add_images(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto [ids, images, owner] = pixel_arguments(info, 1);
    return handle->thread.run(
        info.Env(),
        [handle, ids = ids, images = images](const std::stop_token&) -> Settle {
          std::vector<data::GridThw> grids;
          for (size_t i = 0; i < images.size(); ++i)
            grids.push_back(handle->open().add_image(ids[i], images[i].rgb.const_data_ptr<uint8_t>(), images[i].height,
                                                     images[i].width));
          return write_grids(std::move(grids));
        },
        {}, {owner});
  });
}

// prepareImages(engine, settings: string, cut: boolean, ids, rgb, heights, widths): Promise<{ prepared, grid }[]>
// On a thread of its own, while the engine works.
Napi::Value prepare_images(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto settings = engine::parse_image_processor(nlohmann::json::parse(string_argument(info, 1, "settings")));
    const bool cut = info[2].ToBoolean();
    const auto [ids, images, owner] = pixel_arguments(info, 3);
    return handle->beside(info.Env())
        .run(info.Env(),
             [handle, settings, cut, images = images](const std::stop_token&) -> Settle {
               auto made = std::make_shared<std::vector<data::PreparedImage>>();
               for (const auto& [rgb, height, width] : images) {
                 auto resized = data::resize_image(rgb.const_data_ptr<uint8_t>(), height, width, settings);
                 auto patches = cut ? data::patchify(resized.pixels, settings) : at::Tensor();
                 made->push_back({.resized = std::move(resized), .patches = std::move(patches)});
               }
               return [made](Napi::Env env) {
                 auto result = Napi::Array::New(env, made->size());
                 for (uint32_t i = 0; i < made->size(); ++i) {
                   auto image = Napi::Object::New(env);
                   image.Set("grid", write_grid(env, (*made)[i].resized.grid));
                   image.Set("prepared", wrap_as(env, std::move((*made)[i]), kPreparedTag));
                   result[i] = image;
                 }
                 return result;
               };
             },
             {}, {owner});
  });
}

// addPreparedImage(engine, id: string, prepared): Promise<void>   `prepared` is empty afterwards.
Napi::Value add_prepared_image(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const auto handle = engine_argument(info, 0);
    const auto id = string_argument(info, 1, "id");
    auto image = std::exchange(unwrap_as<data::PreparedImage>(info, 2, kPreparedTag, "a prepared image"), {});
    TORCH_CHECK(image.resized.pixels.defined(), "image ", id, " was given to an engine before: prepare it again");
    return handle->thread.run(info.Env(), [handle, id, image = std::move(image)](const std::stop_token&) {
      handle->open().add_image(id, image);
      return EngineThread::nothing();
    });
  });
}

// pruneImages(engine, keep: string[]): Promise<string[]>   The ids that were dropped.
Napi::Value prune_images(const Napi::CallbackInfo& info) {
  const auto handle = engine_argument(info, 0);
  const auto keep = strings(info[1], "keep");
  return handle->thread.run(info.Env(), [handle, keep](const std::stop_token&) -> Settle {
    return [dropped = handle->open().prune_images({keep.begin(), keep.end()})](Napi::Env env) {
      auto result = Napi::Array::New(env, dropped.size());
      for (uint32_t i = 0; i < dropped.size(); ++i) result[i] = dropped[i];
      return result;
    };
  });
}

}  // namespace

void init_image_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"addImages", add_images},
                    {"prepareImages", prepare_images},
                    {"addPreparedImage", add_prepared_image},
                    {"pruneImages", prune_images},
                });
}

}  // namespace sightloop::binding
