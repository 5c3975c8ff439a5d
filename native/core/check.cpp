#include "core/check.h"

#include <string>

namespace sightloop::core {

void check_shape(const at::Tensor& tensor, at::IntArrayRef expected, std::string_view name) {
  bool same = tensor.defined() && tensor.dim() == static_cast<int64_t>(expected.size());
  for (int64_t i = 0; same && i < tensor.dim(); ++i) same = expected[i] == -1 || expected[i] == tensor.size(i);
  if (same) return;
  if (!tensor.defined()) TORCH_CHECK(false, name, ": expected shape ", expected, ", got no tensor");
  TORCH_CHECK(false, name, ": expected shape ", expected, " (-1 = any), got ", tensor.sizes());
}

bool is_own(const c10::Error& error) {
  // The first line of the backtrace is "Exception raised from <function> at <file>:<line> (...)".
  constexpr std::string_view here = __FILE__, below = "native/core/check.cpp";
  static_assert(here.ends_with(below));
  constexpr auto root = here.substr(0, here.size() - below.size());
  const auto& backtrace = error.backtrace();
  if (!backtrace) return false;
  const std::string_view text = backtrace->get();
  const auto line = text.substr(0, text.find('\n'));
  const auto at = line.rfind(" at ");
  return at != std::string_view::npos && line.substr(at + 4).starts_with(root) &&
         line.find("INTERNAL ASSERT") == std::string_view::npos;
}

}  // namespace sightloop::core
