#include "core/check.h"

#include <c10/util/Exception.h>

namespace sightloop::core {

void check_shape(const at::Tensor& tensor, at::IntArrayRef expected, std::string_view name) {
  bool same = tensor.defined() && tensor.dim() == static_cast<int64_t>(expected.size());
  for (int64_t i = 0; same && i < tensor.dim(); ++i) same = expected[i] == -1 || expected[i] == tensor.size(i);
  if (same) return;
  if (!tensor.defined()) TORCH_CHECK(false, name, ": expected shape ", expected, ", got no tensor");
  TORCH_CHECK(false, name, ": expected shape ", expected, " (-1 = any), got ", tensor.sizes());
}

}  // namespace sightloop::core
