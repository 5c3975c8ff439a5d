#include "binding/data_functions.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "binding/guard.h"
#include "binding/wrap.h"
#include "engine/options.h"
#include "pipeline/data/patches.h"
#include "pipeline/data/positions.h"
#include "pipeline/data/smart_resize.h"

namespace sightloop::binding {
namespace {

int64_t integer_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (info[index].IsNumber()) return info[index].As<Napi::Number>().Int64Value();
  throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a number");
}

template <typename Array>
Array typed_array_argument(const Napi::CallbackInfo& info, size_t index, napi_typedarray_type type, const char* name) {
  if (info[index].IsTypedArray() && info[index].As<Napi::TypedArray>().TypedArrayType() == type)
    return info[index].As<Array>();
  throw Napi::TypeError::New(info.Env(), std::string(name) + " is not a typed array of the right kind");
}

Napi::Array number_array(Napi::Env env, std::span<const int64_t> values) {
  auto array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array[i] = static_cast<double>(values[i]);
  return array;
}

Napi::Value smart_resize(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto size = data::smart_resize(integer_argument(info, 0, "height"), integer_argument(info, 1, "width"),
                                         integer_argument(info, 2, "factor"), integer_argument(info, 3, "min_pixels"),
                                         integer_argument(info, 4, "max_pixels"));
    return number_array(info.Env(), std::array{size.height, size.width});
  });
}

Napi::Value preprocess_image(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto env = info.Env();
    const auto rgb = typed_array_argument<Napi::Uint8Array>(info, 0, napi_uint8_array, "rgb");
    const auto height = integer_argument(info, 1, "height"), width = integer_argument(info, 2, "width");
    if (!info[3].IsString()) throw Napi::TypeError::New(env, "settingsJson must be a string");
    const auto settings = engine::parse_image_processor(nlohmann::json::parse(info[3].As<Napi::String>().Utf8Value()));
    data::check_pixels(static_cast<int64_t>(rgb.ElementLength()), height, width, "preprocessImage");

    const auto image = data::resize_image(rgb.Data(), height, width, settings);
    const auto patches = data::patchify(image.pixels, settings);
    auto resized = Napi::Uint8Array::New(env, image.pixels.numel());
    std::copy_n(image.pixels.const_data_ptr<uint8_t>(), image.pixels.numel(), resized.Data());
    auto pixel_values = Napi::Float32Array::New(env, patches.numel());
    std::copy_n(patches.const_data_ptr<float>(), patches.numel(), pixel_values.Data());

    auto result = Napi::Object::New(env);
    result.Set("resized", resized);
    result.Set("resized_height", static_cast<double>(image.pixels.size(0)));
    result.Set("resized_width", static_cast<double>(image.pixels.size(1)));
    result.Set("image_grid_thw", number_array(env, std::array{image.grid.t, image.grid.h, image.grid.w}));
    result.Set("pixel_values", pixel_values);
    return result;
  });
}

Napi::Value rope_positions(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto env = info.Env();
    const auto token_ids = typed_array_argument<Napi::Int32Array>(info, 0, napi_int32_array, "token_ids");
    const auto flat = typed_array_argument<Napi::Int32Array>(info, 1, napi_int32_array, "grids");
    TORCH_CHECK(flat.ElementLength() % 3 == 0, "ropePositions: grids must hold 3 numbers each, got ",
                flat.ElementLength());
    std::vector<data::GridThw> grids;
    for (size_t i = 0; i < flat.ElementLength(); i += 3)
      grids.push_back({.t = flat.Data()[i], .h = flat.Data()[i + 1], .w = flat.Data()[i + 2]});
    const auto [positions, delta] = data::rope_positions({token_ids.Data(), token_ids.ElementLength()}, grids,
                                                         {.image_token_id = integer_argument(info, 2, "image_token_id"),
                                                          .video_token_id = integer_argument(info, 3, "video_token_id"),
                                                          .merge_size = integer_argument(info, 4, "merge_size")});
    auto values = Napi::Int32Array::New(env, positions.numel());
    std::transform(positions.const_data_ptr<int64_t>(), positions.const_data_ptr<int64_t>() + positions.numel(),
                   values.Data(), [](int64_t position) { return static_cast<int32_t>(position); });
    auto result = Napi::Object::New(env);
    result.Set("positions", values);
    result.Set("delta", static_cast<double>(delta));
    return result;
  });
}

}  // namespace

void init_data_functions(Napi::Env env, Napi::Object exports) {
  add_functions(env, exports,
                {
                    {"preprocessImage", preprocess_image},
                    {"smartResize", smart_resize},
                    {"ropePositions", rope_positions},
                });
}

}  // namespace sightloop::binding
