#pragma once
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <initializer_list>
#include <string_view>

namespace sightloop::core {

// Throws c10::Error "<name>: expected shape [64, 16] (-1 = any), got [60, 16]" unless the shapes agree.
void check_shape(const at::Tensor& tensor, at::IntArrayRef expected, std::string_view name);

// Whether a check of ours failed, whose message speaks to the user. Checks inside libtorch are met by mistakes of ours.
bool is_own(const c10::Error& error);

inline void check_shape(const at::Tensor& tensor, std::initializer_list<int64_t> expected, std::string_view name) {
  check_shape(tensor, at::IntArrayRef(expected.begin(), expected.size()), name);
}

}  // namespace sightloop::core
