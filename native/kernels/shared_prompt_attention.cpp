#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <map>

#include "core/check.h"
#include "kernels/kernels.h"

namespace sightloop::kernels {
namespace {

struct Part {
  at::Tensor output;   // [B, L, N, H]
  at::Tensor log_sum;  // [B, L, N] log-sum-exp of the scaled scores
};

// What parts are computed and merged in: sampler and trainer must differ by less than the inputs' own rounding.
at::ScalarType wide_type(const at::Tensor& x) { return at::promote_types(x.scalar_type(), at::kFloat); }

// query [B, Lq, N, H]   key, value [B, Lk, K, H]   returns at least float32
Part flash(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, bool causal) {
  const auto wide = [type = wide_type(query)](const at::Tensor& x) { return x.to(type).transpose(1, 2); };
  auto [output, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(wide(query), wide(key), wide(value),
                                                                           /*dropout_p=*/0.0, causal);
  return {.output = output.transpose(1, 2), .log_sum = log_sum.transpose(1, 2)};
}

struct PartGradient {
  at::Tensor query, key, value;  // [B, L, heads, H]
};

// `whole` is the merged result: exp(score - merged log-sum-exp) are then the true attention weights of this part.
PartGradient flash_backward(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const Part& whole, bool causal) {
  const auto wide = [type = wide_type(query)](const at::Tensor& x) { return x.to(type).transpose(1, 2); };
  auto [dquery, dkey, dvalue] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      wide(gradient), wide(query), wide(key), wide(value), wide(whole.output), whole.log_sum.transpose(1, 2),
      /*dropout_p=*/0.0, causal);
  return {.query = dquery.transpose(1, 2), .key = dkey.transpose(1, 2), .value = dvalue.transpose(1, 2)};
}

at::Tensor gather(const at::Tensor& x, const SharedPromptPlan::Bucket& bucket) {
  auto shape = x.sizes().vec();
  shape[0] = bucket.length;
  shape.insert(shape.begin(), bucket.count);
  return x.index_select(0, bucket.rows).view(shape);
}

void scatter(at::Tensor& x, const SharedPromptPlan::Bucket& bucket, const at::Tensor& values) {
  auto shape = x.sizes().vec();
  shape[0] = bucket.count * bucket.length;
  x.index_copy_(0, bucket.rows, values.reshape(shape));
}

class SharedPromptAttention : public torch::autograd::Function<SharedPromptAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const SharedPromptPlan* plan) {
    const auto wide = query.options().dtype(wide_type(query));
    auto output = at::empty(query.sizes(), wide);
    auto log_sum = at::empty({query.size(0), query.size(1)}, wide);
    for (const auto& bucket : plan->causal) {
      const auto part = flash(gather(query, bucket), gather(key, bucket), gather(value, bucket), /*causal=*/true);
      scatter(output, bucket, part.output);
      scatter(log_sum, bucket, part.log_sum);
    }
    for (const auto& cross : plan->cross) {
      const auto completions = [&](const at::Tensor& x) {
        return x.narrow(0, cross.completion_begin, cross.completion_tokens);
      };
      const auto prompt = [&](const at::Tensor& x) { return x.narrow(0, cross.prompt_begin, cross.prompt_length); };
      const auto part = flash(completions(query).unsqueeze(0), prompt(key).unsqueeze(0), prompt(value).unsqueeze(0),
                              /*causal=*/false);
      auto own_output = completions(output), own_log_sum = completions(log_sum);
      const auto prompt_log_sum = part.log_sum.squeeze(0);
      const auto merged = at::logaddexp(own_log_sum, prompt_log_sum);
      own_output.mul_((own_log_sum - merged).exp_().unsqueeze(-1));
      own_output.addcmul_(part.output.squeeze(0), (prompt_log_sum - merged).exp_().unsqueeze(-1));
      own_log_sum.copy_(merged);
    }
    output = output.to(query.scalar_type());
    context->save_for_backward({query, key, value, output, log_sum});
    context->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &query = saved[0], &key = saved[1], &value = saved[2], &output = saved[3], &log_sum = saved[4];
    const auto* plan = reinterpret_cast<const SharedPromptPlan*>(context->saved_data["plan"].toInt());
    const auto gradient = gradients[0].contiguous();
    const auto wide = query.options().dtype(wide_type(query));
    auto dquery = at::empty(query.sizes(), wide), dkey = at::empty(key.sizes(), wide);
    auto dvalue = at::empty(value.sizes(), wide);
    for (const auto& bucket : plan->causal) {
      const auto d =
          flash_backward(gather(gradient, bucket), gather(query, bucket), gather(key, bucket), gather(value, bucket),
                         {.output = gather(output, bucket), .log_sum = gather(log_sum, bucket)}, true);
      scatter(dquery, bucket, d.query);
      scatter(dkey, bucket, d.key);
      scatter(dvalue, bucket, d.value);
    }
    for (const auto& cross : plan->cross) {
      const auto completions = [&](const at::Tensor& x) {
        return x.narrow(0, cross.completion_begin, cross.completion_tokens).unsqueeze(0);
      };
      const auto prompt = [&](const at::Tensor& x) {
        return x.narrow(0, cross.prompt_begin, cross.prompt_length).unsqueeze(0);
      };
      const auto d = flash_backward(completions(gradient), completions(query), prompt(key), prompt(value),
                                    {.output = completions(output), .log_sum = completions(log_sum)}, false);
      completions(dquery).add_(d.query);
      prompt(dkey).add_(d.key);
      prompt(dvalue).add_(d.value);
    }
    const auto narrow = query.scalar_type();
    return {dquery.to(narrow), dkey.to(narrow), dvalue.to(narrow), at::Tensor()};
  }
};

}  // namespace

SharedPromptPlan plan_shared_prompt(const core::Groups& groups) {
  SharedPromptPlan plan;
  std::map<int64_t, std::vector<int64_t>> starts_by_length;
  for (const auto& group : groups) {
    TORCH_INTERNAL_ASSERT(group.begin == plan.num_tokens);
    if (group.prompt_length > 0) starts_by_length[group.prompt_length].push_back(group.begin);
    auto begin = group.begin + group.prompt_length;
    const auto completion_begin = begin;
    for (const auto length : group.completion_lengths) {
      if (length > 0) starts_by_length[length].push_back(begin);
      begin += length;
    }
    if (begin > completion_begin && group.prompt_length > 0)
      plan.cross.push_back({.prompt_begin = group.begin,
                            .prompt_length = group.prompt_length,
                            .completion_begin = completion_begin,
                            .completion_tokens = begin - completion_begin});
    plan.num_tokens = begin;
  }
  for (const auto& [length, starts] : starts_by_length)
    plan.causal.push_back({.rows = (at::tensor(starts, at::kLong).unsqueeze(1) + at::arange(length)).flatten(),
                           .count = static_cast<int64_t>(starts.size()),
                           .length = length});
  return plan;
}

at::Tensor shared_prompt_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                   const SharedPromptPlan& plan) {
  core::check_shape(query, {plan.num_tokens, -1, -1}, "shared_prompt_attention.query");
  core::check_shape(key, {plan.num_tokens, -1, query.size(2)}, "shared_prompt_attention.key");
  core::check_shape(value, key.sizes(), "shared_prompt_attention.value");
  return SharedPromptAttention::apply(query, key.contiguous(), value.contiguous(), &plan);
}

}  // namespace sightloop::kernels
