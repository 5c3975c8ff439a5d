#include <ATen/ATen.h>

#include <charconv>

#include "core/check.h"
#include "core/stop.h"
#include "pipeline/update/optimizer.h"

namespace sightloop::update {
namespace {

// Saved values of one entry by their first element: one whole tensor, or what several ranks held of it.
using Parts = std::map<int64_t, at::Tensor>;

// "exp_avg/name@12" -> entry "exp_avg/name", first element 12.
std::map<std::string, Parts> by_entry(const std::map<std::string, at::Tensor>& state) {
  std::map<std::string, Parts> entries;
  for (const auto& [name, tensor] : state) {
    const auto at_sign = name.rfind('@');
    int64_t begin = 0;
    const bool in_part = at_sign != std::string::npos &&
                         std::from_chars(name.data() + at_sign + 1, name.data() + name.size(), begin).ec == std::errc();
    entries[in_part ? name.substr(0, at_sign) : name][begin] = tensor;
  }
  return entries;
}

// Elements [begin, begin + size) of an entry with `total` elements.
at::Tensor assemble(const Parts& parts, int64_t begin, int64_t size, int64_t total, const std::string& entry) {
  std::vector<at::Tensor> found;
  int64_t next = begin;
  for (const auto& [from, tensor] : parts) {
    TORCH_CHECK(from + tensor.numel() <= total, "optimizer state: \"", entry, "\" has ", from + tensor.numel(),
                " elements, the model's has ", total, ". Resume with the model that the run was started with.");
    if (from > next || next >= begin + size) continue;
    const auto count = std::min(from + tensor.numel(), begin + size) - next;
    if (count <= 0) continue;
    found.push_back(tensor.reshape({-1}).narrow(0, next - from, count));
    next += count;
  }
  TORCH_CHECK(next == begin + size, "optimizer state: elements ", next, " to ", begin + size, " of \"", entry,
              "\" are missing. A file of a rank is gone: resume from another checkpoint.");
  return found.size() == 1 ? found[0] : at::cat(found);
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& held : held_) {
    if (!held.exp_avg.defined()) return {};
    for (const auto& slice : held.parameter->slices) {
      const auto part = held.parameter->overlap(slice, held.piece.begin, held.piece.size);
      if (part.size == 0) continue;
      const bool whole = part.size == part.slice_size;
      const auto add = [&](const std::string& entry, const at::Tensor& values) {
        const auto own = values.narrow(0, part.begin - held.piece.begin, part.size);
        if (whole)
          named.emplace_back(entry + slice.name, held.parameter->shaped(own, slice));
        else
          named.emplace_back(entry + slice.name + "@" + std::to_string(part.begin - part.slice_begin), own);
      };
      add("exp_avg/", held.exp_avg);
      add("exp_avg_sq/", held.exp_avg_sq);
      if (held.master.defined()) add("master/", held.master);
      if (part.begin == part.slice_begin)  // told once, by the rank that holds the first element
        named.emplace_back("step/" + slice.name, at::scalar_tensor(held.updates, at::kLong));
    }
  }
  return named;
}

void Optimizer::restore(const std::map<std::string, at::Tensor>& state, int64_t steps, int64_t consecutive_skips,
                        const std::stop_token& stop) {
  const at::NoGradGuard no_grad;
  const auto saved = by_entry(state);
  const auto entry = [&](const std::string& name) -> const Parts& {
    const auto found = saved.find(name);
    TORCH_CHECK(
        found != saved.end(), "optimizer state: \"", name,
        "\" is missing. The checkpoint was written with other trainable parts or another dtype; resume with the "
        "same.");
    return found->second;
  };
  for (auto& held : held_) held.exp_avg = held.exp_avg_sq = held.master = at::Tensor();
  if (!saved.empty()) allocate();
  std::vector<core::Parameter*> stepped;
  for (auto& held : held_) {
    if (saved.empty()) break;
    for (const auto& slice : held.parameter->slices) {
      core::throw_if_stopped(stop);
      const auto& updates = entry("step/" + slice.name).begin()->second;
      TORCH_CHECK(updates.numel() == 1 && updates.scalar_type() == at::kLong, "optimizer state: \"step/", slice.name,
                  "\" is not one whole number. Resume from another checkpoint.");
      held.updates = updates.item<int64_t>();
      const auto part = held.parameter->overlap(slice, held.piece.begin, held.piece.size);
      const auto restore_part = [&](const std::string& prefix, const at::Tensor& own) {
        const auto& parts = entry(prefix + slice.name);
        if (parts.size() == 1 && parts.begin()->second.dim() > 1)
          core::check_shape(parts.begin()->second, held.parameter->shape_of(slice), prefix + slice.name);
        if (part.size == 0) return;
        own.narrow(0, part.begin - held.piece.begin, part.size)
            .copy_(assemble(parts, part.begin - part.slice_begin, part.size, part.slice_size, prefix + slice.name));
      };
      restore_part("exp_avg/", held.exp_avg);
      restore_part("exp_avg_sq/", held.exp_avg_sq);
      // A parameter that no minibatch has reached has no master yet. State of a narrower model: what its weights were
      // rounded from is what a float32 one goes on with.
      if (held.updates > 0 && (held.narrow() || saved.contains("master/" + slice.name))) {
        restore_part("master/", held.stepped());
        stepped.push_back(held.parameter);
      }
    }
  }
  stepped.erase(std::unique(stepped.begin(), stepped.end()), stepped.end());
  shards_.gather(stepped);
  steps_ = steps;
  consecutive_skips_ = consecutive_skips;
}

}  // namespace sightloop::update
