#include "binding/columns.h"

#include <ATen/ATen.h>

#include "binding/tensors.h"
#include "core/check.h"

namespace sightloop::binding {
namespace {

at::Tensor column(const Napi::Object& columns, const char* name, at::ScalarType dtype) {
  return borrow(columns.Get(name), dtype, name);
}

batches::ImageIds read_image_ids(const Napi::Object& columns) {
  const auto value = columns.Get("image_ids");
  if (!value.IsArray()) throw Napi::TypeError::New(columns.Env(), "image_ids must be an array");
  batches::ImageIds rows;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) rows.push_back(strings(array.Get(i), "image_ids"));
  return rows;
}

// Offsets must describe the flat values before anything indexes by them.
void check_offsets(const at::Tensor& offsets, int64_t rows, int64_t flat) {
  core::check_shape(offsets, {rows + 1}, "offsets");
  const auto values = batches::values<int32_t>(offsets);
  bool fine = values.front() == 0 && values.back() == flat;
  for (size_t i = 1; fine && i < values.size(); ++i) fine = values[i - 1] <= values[i];
  TORCH_CHECK(fine, "offsets must rise from 0 to the ", flat, " tokens of the batch");
}

}  // namespace

at::Tensor optional_floats(const Napi::Object& columns, const char* name) {
  const auto value = columns.Get(name);
  return value.IsNull() || value.IsUndefined() ? at::Tensor() : borrow(value, at::kFloat, name);
}

batches::PromptBatch read_prompts(const Napi::Object& columns) {
  batches::PromptBatch batch{.prompt_ids = column(columns, "prompt_id", at::kLong),
                             .token_ids = column(columns, "token_ids", at::kInt),
                             .offsets = column(columns, "offsets", at::kInt),
                             .image_ids = read_image_ids(columns)};
  check_offsets(batch.offsets, batch.rows(), batch.token_ids.numel());
  TORCH_CHECK(static_cast<int64_t>(batch.image_ids.size()) == batch.rows(), "image_ids: expected ", batch.rows(),
              " rows");
  return batch;
}

batches::RolloutBatch read_rollouts(const Napi::Object& columns) {
  batches::RolloutBatch batch{.prompt_ids = column(columns, "prompt_id", at::kLong),
                              .sample_indices = column(columns, "sample_index", at::kInt),
                              .policy_versions = column(columns, "policy_version", at::kInt),
                              .token_ids = column(columns, "token_ids", at::kInt),
                              .offsets = column(columns, "offsets", at::kInt),
                              .completion_mask = {},
                              .rollout_logprobs = column(columns, "rollout_logprobs", at::kFloat),
                              .sampling_logprobs = {},
                              .finish_reasons = {},
                              .image_ids = read_image_ids(columns)};
  const auto tokens = batch.token_ids.numel();
  check_offsets(batch.offsets, batch.rows(), tokens);
  batch.completion_mask = unpack_bits(column(columns, "completion_mask", at::kByte), tokens);
  core::check_shape(batch.rollout_logprobs, {tokens}, "rollout_logprobs");
  core::check_shape(batch.sample_indices, {batch.rows()}, "sample_index");
  core::check_shape(batch.policy_versions, {batch.rows()}, "policy_version");
  TORCH_CHECK(static_cast<int64_t>(batch.image_ids.size()) == batch.rows(), "image_ids: expected ", batch.rows(),
              " rows");
  return batch;
}

batches::TrajectoryBatch read_trajectories(const Napi::Object& columns) {
  batches::TrajectoryBatch batch{.rollouts = read_rollouts(columns),
                                 .policy_logprobs = column(columns, "policy_logprobs", at::kFloat),
                                 .reference_logprobs = optional_floats(columns, "reference_logprobs"),
                                 .advantages = column(columns, "advantages", at::kFloat)};
  const auto tokens = batch.rollouts.token_ids.numel();
  core::check_shape(batch.policy_logprobs, {tokens}, "policy_logprobs");
  core::check_shape(batch.advantages, {tokens}, "advantages");
  if (batch.reference_logprobs.defined()) core::check_shape(batch.reference_logprobs, {tokens}, "reference_logprobs");
  return batch;
}

Napi::Object write_rollouts(Napi::Env env, const batches::RolloutBatch& batch) {
  auto columns = Napi::Object::New(env);
  columns.Set("prompt_id", share(env, batch.prompt_ids));
  columns.Set("sample_index", share(env, batch.sample_indices));
  columns.Set("policy_version", share(env, batch.policy_versions));
  columns.Set("offsets", share(env, batch.offsets));
  columns.Set("token_ids", share(env, batch.token_ids));
  columns.Set("completion_mask", share(env, pack_bits(batch.completion_mask)));
  columns.Set("rollout_logprobs", share(env, batch.rollout_logprobs));
  columns.Set("sampling_logprobs",
              batch.sampling_logprobs.defined() ? share(env, batch.sampling_logprobs) : env.Null());
  auto reasons = Napi::Array::New(env, batch.finish_reasons.size());
  for (uint32_t i = 0; i < batch.finish_reasons.size(); ++i)
    reasons[i] = batch.finish_reasons[i] == batches::FinishReason::stop ? "stop" : "length";
  columns.Set("finish_reason", reasons);
  auto image_ids = Napi::Array::New(env, batch.image_ids.size());
  for (uint32_t i = 0; i < batch.image_ids.size(); ++i) {
    auto row = Napi::Array::New(env, batch.image_ids[i].size());
    for (uint32_t j = 0; j < batch.image_ids[i].size(); ++j) row[j] = batch.image_ids[i][j];
    image_ids[i] = row;
  }
  columns.Set("image_ids", image_ids);
  return columns;
}

}  // namespace sightloop::binding
