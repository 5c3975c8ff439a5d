#include "kernels/group_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/cpu.h"
#include "kernels/tiles.h"

// One task is one group and one key/value head. Its keys and values are copied into buffers whose rows and columns are whole
// vectors, the prompt's once; each sequence's own follow them, so that a query sees a run of columns from the first on.
// Queries are taken kBlock at a time, and a block's scores are whole rows: softmax needs no second pass.
namespace sightloop::kernels {
namespace {

using core::kLanes;
using core::Lanes;

constexpr int64_t kBlock = 48;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t whole(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Rows of one head in a packed tensor [T, heads, H].
struct Rows {
  float* data;
  int64_t stride;
  float* at(int64_t row) const { return data + row * stride; }
};
Rows head_rows(const at::Tensor& x, int64_t head) {
  return {.data = x.data_ptr<float>() + head * x.stride(1), .stride = x.stride(0)};
}

struct Sizes {
  int64_t width, padded;  // of a head, and in whole vectors
  float scale;
};

// The columns one sequence sees: the prompt's [0, prompt), filled up to `shift`, then its own.
struct Columns {
  std::vector<float> keys, values;                // [columns, padded]
  std::vector<float> key_columns, value_columns;  // the same, transposed: [padded, columns]
  std::vector<float> dkeys, dvalues;              // [columns, padded]
  int64_t prompt = 0, shift = 0, count = 0;

  void resize(int64_t columns, int64_t padded, bool backward) {
    count = columns;
    const auto size = static_cast<size_t>(columns * padded);
    for (auto* buffer : {&keys, &values, &key_columns}) buffer->assign(size, 0.0F);
    if (backward)
      for (auto* buffer : {&value_columns, &dkeys, &dvalues}) buffer->assign(size, 0.0F);
  }
};

void fill(Columns& columns, const Sizes& sizes, const Rows& key, const Rows& value, int64_t row, int64_t length,
          int64_t at) {
  for (int64_t i = 0; i < length; ++i) {
    const auto *k = key.at(row + i), *v = value.at(row + i);
    std::copy_n(k, sizes.width, columns.keys.data() + (at + i) * sizes.padded);
    std::copy_n(v, sizes.width, columns.values.data() + (at + i) * sizes.padded);
    for (int64_t h = 0; h < sizes.width; ++h) columns.key_columns[h * columns.count + at + i] = k[h];
    if (!columns.value_columns.empty())
      for (int64_t h = 0; h < sizes.width; ++h) columns.value_columns[h * columns.count + at + i] = v[h];
  }
}

// Some queries of a sequence of `length`; the first is number `first` of it.
struct Block {
  int64_t first, rows, length;
  bool causal;
  int64_t visible(int64_t i) const { return causal ? first + i + 1 : length; }  // own columns that query i sees
  int64_t columns(const Columns& all) const { return all.shift + whole(visible(rows - 1)); }
};

struct Scratch {
  std::vector<float> queries, outputs, doutputs, dqueries;  // [kBlock, padded]
  std::vector<float> scores, dscores;                       // [kBlock, columns]

  void resize(int64_t padded, int64_t columns) {
    for (auto* buffer : {&queries, &outputs, &doutputs, &dqueries})
      buffer->assign(static_cast<size_t>(kBlock * padded), 0.0F);
    for (auto* buffer : {&scores, &dscores}) buffer->resize(static_cast<size_t>(kBlock * columns));
  }
};

void take_rows(const Rows& from, int64_t row, int64_t rows, const Sizes& sizes, float factor, std::vector<float>& to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t h = 0; h < sizes.width; ++h) to[i * sizes.padded + h] = from.at(row + i)[h] * factor;
}
void put_rows(const float* from, int64_t rows, const Sizes& sizes, float factor, const Rows& to, int64_t row) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t h = 0; h < sizes.width; ++h) to.at(row + i)[h] = from[i * sizes.padded + h] * factor;
}

// Scores of a block, minus infinity where a query must not look.
template <int64_t R>
SIGHTLOOP_INLINE void score(const Block& block, const Columns& columns, const Sizes& sizes, Scratch& scratch) {
  const auto width = block.columns(columns);
  multiply<R>({.a = scratch.queries.data(),
               .a_row = sizes.padded,
               .a_step = 1,
               .b = columns.key_columns.data(),
               .b_step = columns.count,
               .c = scratch.scores.data(),
               .c_row = width,
               .start = nullptr,
               .start_row = 0,
               .depth = sizes.width},
              block.rows, width);
  for (int64_t i = 0; i < block.rows; ++i) {
    auto* row = scratch.scores.data() + i * width;
    std::fill(row + columns.prompt, row + columns.shift, kMinusInfinity);
    std::fill(row + columns.shift + block.visible(i), row + width, kMinusInfinity);
  }
}

template <int64_t R>
SIGHTLOOP_INLINE void attend_block(const Block& block, const Columns& columns, const Sizes& sizes, Scratch& scratch,
                                   float* log_sums) {
  score<R>(block, columns, sizes, scratch);
  const auto width = block.columns(columns);
  float inverse[kBlock];
  for (int64_t i = 0; i < block.rows; ++i) {
    auto* row = scratch.scores.data() + i * width;
    const float highest = core::maximum(row, width);
    Lanes total = {};
    for (int64_t j = 0; j < width; j += kLanes) {
      const Lanes weight = core::exponential(core::load(row + j) - highest);
      core::store(row + j, weight);
      total += weight;
    }
    const float sum = core::sum(total);
    inverse[i] = 1.0F / sum;
    log_sums[i] = highest + std::log(sum);
  }
  multiply<R>({.a = scratch.scores.data(),
               .a_row = width,
               .a_step = 1,
               .b = columns.values.data(),
               .b_step = sizes.padded,
               .c = scratch.outputs.data(),
               .c_row = sizes.padded,
               .start = nullptr,
               .start_row = 0,
               .depth = width},
              block.rows, sizes.padded);
  for (int64_t i = 0; i < block.rows; ++i)
    for (int64_t h = 0; h < sizes.padded; ++h) scratch.outputs[i * sizes.padded + h] *= inverse[i];
}

// P = e^(score - log-sum), dP = dO V^T, dS = P (dP - rowsum(dO O));  dQ = dS K, dK += dS^T Q, dV += P^T dO.
// Source: arXiv:2205.14135 appendix B.2.
template <int64_t R>
SIGHTLOOP_INLINE void differentiate_block(const Block& block, Columns& columns, const Sizes& sizes, Scratch& scratch,
                                          const float* log_sums) {
  score<R>(block, columns, sizes, scratch);
  const auto width = block.columns(columns), padded = sizes.padded;
  auto *p = scratch.scores.data(), *ds = scratch.dscores.data();
  multiply<R>({.a = scratch.doutputs.data(),
               .a_row = padded,
               .a_step = 1,
               .b = columns.value_columns.data(),
               .b_step = columns.count,
               .c = ds,
               .c_row = width,
               .start = nullptr,
               .start_row = 0,
               .depth = sizes.width},
              block.rows, width);
  for (int64_t i = 0; i < block.rows; ++i) {
    float mean = 0;
    for (int64_t h = 0; h < sizes.width; ++h)
      mean += scratch.doutputs[i * padded + h] * scratch.outputs[i * padded + h];
    for (int64_t j = i * width; j < (i + 1) * width; j += kLanes) {
      const Lanes weight = core::exponential(core::load(p + j) - log_sums[i]);
      core::store(p + j, weight);
      core::store(ds + j, weight * (core::load(ds + j) - mean));
    }
  }
  multiply<R>({.a = ds,
               .a_row = width,
               .a_step = 1,
               .b = columns.keys.data(),
               .b_step = padded,
               .c = scratch.dqueries.data(),
               .c_row = padded,
               .start = nullptr,
               .start_row = 0,
               .depth = width},
              block.rows, padded);
  const auto add_to = [&](std::vector<float> & sums, const float* weights, const std::vector<float>& rows)
      __attribute__((always_inline)) {
    multiply<R>({.a = weights,
                 .a_row = 1,
                 .a_step = width,
                 .b = rows.data(),
                 .b_step = padded,
                 .c = sums.data(),
                 .c_row = padded,
                 .start = sums.data(),
                 .start_row = padded,
                 .depth = block.rows},
                width, padded);
  };
  add_to(columns.dkeys, ds, scratch.queries);
  add_to(columns.dvalues, p, scratch.doutputs);
}

SIGHTLOOP_CPU_CLONES void attend_wide(const Block& b, const Columns& c, const Sizes& s, Scratch& x, float* log_sums) {
  attend_block<kWideRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void attend_narrow(const Block& b, const Columns& c, const Sizes& s, Scratch& x, float* log_sums) {
  attend_block<kNarrowRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void differentiate_wide(const Block& b, Columns& c, const Sizes& s, Scratch& x,
                                             const float* log_sums) {
  differentiate_block<kWideRows>(b, c, s, x, log_sums);
}
SIGHTLOOP_CPU_CLONES void differentiate_narrow(const Block& b, Columns& c, const Sizes& s, Scratch& x,
                                               const float* log_sums) {
  differentiate_block<kNarrowRows>(b, c, s, x, log_sums);
}

// Calls `visit(row, length)` for the prompt alone, then for each completion behind the prompt's columns.
template <typename Visit>
void each_sequence(const core::Group& group, Columns& columns, const Visit& visit) {
  columns.prompt = columns.shift = 0;
  if (group.prompt_length > 0) visit(group.begin, group.prompt_length);
  columns.prompt = group.prompt_length;
  columns.shift = whole(group.prompt_length);
  auto row = group.begin + group.prompt_length;
  for (const auto length : group.completion_lengths) {
    if (length > 0) visit(row, length);
    row += length;
  }
}

int64_t columns_of(const core::Group& group) {
  int64_t longest = 0;
  for (const auto length : group.completion_lengths) longest = std::max(longest, length);
  return std::max(whole(group.prompt_length), whole(group.prompt_length) + whole(longest));
}

template <typename Visit>
void each_block(int64_t length, bool causal, const Visit& visit) {
  for (int64_t first = 0; first < length; first += kBlock)
    visit(Block{.first = first, .rows = std::min(kBlock, length - first), .length = length, .causal = causal});
}

Sizes sizes_of(const at::Tensor& query) {
  const auto width = query.size(2);
  return {
      .width = width, .padded = whole(width), .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)))};
}

}  // namespace

GroupAttention group_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const core::Groups& groups, bool causal) {
  const auto heads = query.size(1), kv_heads = key.size(1), repeats = heads / kv_heads;
  const auto sizes = sizes_of(query);
  GroupAttention result{.output = at::empty(query.sizes(), query.options()),
                        .log_sum = at::empty({query.size(0), heads}, query.options())};
  const auto attend = has_wide_registers() ? attend_wide : attend_narrow;
  at::parallel_for(0, static_cast<int64_t>(groups.size()) * kv_heads, 1, [&](int64_t begin, int64_t end) {
    Columns columns;
    Scratch scratch;
    float log_sums[kBlock];
    for (auto task = begin; task < end; ++task) {
      const auto& group = groups[static_cast<size_t>(task / kv_heads)];
      const auto kv_head = task % kv_heads;
      const auto keys = head_rows(key, kv_head), values = head_rows(value, kv_head);
      columns.resize(columns_of(group), sizes.padded, /*backward=*/false);
      scratch.resize(sizes.padded, columns.count);
      each_sequence(group, columns, [&](int64_t row, int64_t length) {
        fill(columns, sizes, keys, values, row, length, columns.shift);
        for (auto head = kv_head * repeats; head < (kv_head + 1) * repeats; ++head)
          each_block(length, causal, [&](const Block& block) {
            take_rows(head_rows(query, head), row + block.first, block.rows, sizes, sizes.scale, scratch.queries);
            attend(block, columns, sizes, scratch, log_sums);
            put_rows(scratch.outputs.data(), block.rows, sizes, 1, head_rows(result.output, head), row + block.first);
            for (int64_t i = 0; i < block.rows; ++i)
              result.log_sum.data_ptr<float>()[(row + block.first + i) * heads + head] = log_sums[i];
          });
      });
    }
  });
  return result;
}

GroupAttentionGradient group_attention_backward(const at::Tensor& gradient, const at::Tensor& query,
                                                const at::Tensor& key, const at::Tensor& value,
                                                const GroupAttention& result, const core::Groups& groups, bool causal) {
  const auto heads = query.size(1), kv_heads = key.size(1), repeats = heads / kv_heads;
  const auto sizes = sizes_of(query);
  GroupAttentionGradient d{.query = at::empty(query.sizes(), query.options()),
                           .key = at::empty(key.sizes(), key.options()),
                           .value = at::empty(value.sizes(), value.options())};
  const auto differentiate = has_wide_registers() ? differentiate_wide : differentiate_narrow;
  at::parallel_for(0, static_cast<int64_t>(groups.size()) * kv_heads, 1, [&](int64_t begin, int64_t end) {
    Columns columns;
    Scratch scratch;
    float log_sums[kBlock];
    for (auto task = begin; task < end; ++task) {
      const auto& group = groups[static_cast<size_t>(task / kv_heads)];
      const auto kv_head = task % kv_heads;
      const auto keys = head_rows(key, kv_head), values = head_rows(value, kv_head);
      const auto dkeys = head_rows(d.key, kv_head), dvalues = head_rows(d.value, kv_head);
      columns.resize(columns_of(group), sizes.padded, /*backward=*/true);
      scratch.resize(sizes.padded, columns.count);
      const auto put = [&](int64_t column, int64_t row, int64_t length) {
        put_rows(columns.dkeys.data() + column * sizes.padded, length, sizes, 1, dkeys, row);
        put_rows(columns.dvalues.data() + column * sizes.padded, length, sizes, 1, dvalues, row);
      };
      each_sequence(group, columns, [&](int64_t row, int64_t length) {
        const bool is_prompt = row == group.begin && group.prompt_length > 0;
        fill(columns, sizes, keys, values, row, length, columns.shift);
        for (auto* sums : {&columns.dkeys, &columns.dvalues})
          std::fill(sums->begin() + columns.shift * sizes.padded, sums->end(), 0.0F);
        for (auto head = kv_head * repeats; head < (kv_head + 1) * repeats; ++head)
          each_block(length, causal, [&](const Block& block) {
            const auto first = row + block.first;
            take_rows(head_rows(query, head), first, block.rows, sizes, sizes.scale, scratch.queries);
            take_rows(head_rows(result.output, head), first, block.rows, sizes, 1, scratch.outputs);
            take_rows(head_rows(gradient, head), first, block.rows, sizes, 1, scratch.doutputs);
            for (int64_t i = 0; i < block.rows; ++i)
              log_sums[i] = result.log_sum.data_ptr<float>()[(first + i) * heads + head];
            differentiate(block, columns, sizes, scratch, log_sums);
            put_rows(scratch.dqueries.data(), block.rows, sizes, sizes.scale, head_rows(d.query, head), first);
          });
        if (!is_prompt) put(columns.shift, row, length);
      });
      put(0, group.begin, group.prompt_length);
    }
  });
  return d;
}

}  // namespace sightloop::kernels
