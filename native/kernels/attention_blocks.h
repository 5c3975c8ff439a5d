#pragma once
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention_row.h"
#include "kernels/tiles.h"

// Attention of a block of queries to all the columns that they may see, and its gradient. Keys and values are copied into
// buffers whose rows and columns are whole vectors. Only for functions that are compiled for each instruction set.
namespace sightloop::kernels {

using core::kLanes;
using core::Lanes;

constexpr int64_t kBlock = 48;  // queries taken at once: their scores are whole rows, and softmax needs no second pass

// Rows of one head in a packed tensor [T, heads, H].
struct Rows {
  float* data;
  int64_t stride;
  float* at(int64_t row) const { return data + row * stride; }
};
inline Rows head_rows(const at::Tensor& x, int64_t head) {
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

inline void fill(Columns& columns, const Sizes& sizes, const Rows& key, const Rows& value, int64_t row, int64_t length,
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

inline void take_rows(const Rows& from, int64_t row, int64_t rows, const Sizes& sizes, float factor,
                      std::vector<float>& to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t h = 0; h < sizes.width; ++h) to[i * sizes.padded + h] = from.at(row + i)[h] * factor;
}
inline void put_rows(const float* from, int64_t rows, const Sizes& sizes, float factor, const Rows& to, int64_t row) {
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
    const auto weights = weigh_row(scratch.scores.data() + i * width, width);
    inverse[i] = 1.0F / weights.sum;
    log_sums[i] = weights.highest + std::log(weights.sum);
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

}  // namespace sightloop::kernels
