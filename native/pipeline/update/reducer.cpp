#include "pipeline/update/reducer.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace sightloop::update {
namespace {

constexpr size_t kUnderWay = 2;  // buffers of more would add up
constexpr size_t kNone = SIZE_MAX;

at::Tensor flat(const at::Tensor& tensor) { return tensor.contiguous().view({-1}); }

// The order in which a backward pass reaches them, and a batch without images the vision tower never.
int turn(core::Part part) { return part == core::Part::vision_tower ? 2 : part == core::Part::connector ? 1 : 0; }

}  // namespace

GradientReducer::GradientReducer(core::ParameterRegistry& registry, const Shards& shards, int64_t bucket_elements)
    : shards_(shards), transfer_of_(registry.all().size(), kNone) {
  std::vector<size_t> places;  // in the registry
  for (size_t i = 0; i < registry.all().size(); ++i)
    if (registry.all()[i].trainable) {
      parameters_.push_back(&registry.all()[i]);
      places.push_back(i);
    }
  has_gradient_.resize(parameters_.size());
  if (!shards_.sharded()) return;
  std::vector<size_t> order(parameters_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
  std::ranges::stable_sort(order, {}, [&](size_t i) { return turn(parameters_[i]->part); });
  std::vector<core::Parameter*> ordered;
  for (const auto i : order) ordered.push_back(parameters_[i]);
  size_t next = 0;
  for (auto& bucket : shards_.buckets(ordered, bucket_elements)) {
    auto& transfer = transfers_.emplace_back();
    for (size_t i = 0; i < bucket.parameters.size(); ++i, ++next) {
      transfer.members.push_back(order[next]);
      transfer_of_[places[order[next]]] = transfers_.size() - 1;
    }
    transfer.bucket = std::move(bucket);
  }
  registry.set_gradient_listener([this](size_t index) { gradient_is_whole(index); });
}

void GradientReducer::reset() {
  gradient_ = nullptr;
  next_ = 0;
  for (auto& transfer : transfers_) {
    transfer.missing = transfer.members.size();
    transfer.all = transfer.own = at::Tensor();
    transfer.wait = nullptr;
  }
}

void GradientReducer::begin(GradientOf gradient, bool empty_pass) {
  reset();
  gradient_ = gradient;
  empty_pass_ = empty_pass;
  for (size_t i = 0; i < parameters_.size(); ++i) has_gradient_[i] = (parameters_[i]->*gradient)().defined() ? 1 : 0;
}

void GradientReducer::gradient_is_whole(size_t index) {
  if (gradient_ == nullptr || transfer_of_[index] == kNone) return;
  auto& transfer = transfers_[transfer_of_[index]];
  TORCH_INTERNAL_ASSERT(transfer.missing > 0, "a gradient became whole twice in one backward pass");
  transfer.missing -= 1;
  while (next_ < transfers_.size() && transfers_[next_].missing == 0) send(transfers_[next_++]);
}

void GradientReducer::send(Transfer& transfer) {
  const at::NoGradGuard no_grad;
  if (const auto place = static_cast<size_t>(&transfer - transfers_.data()); place >= kUnderWay) {
    auto& earlier = transfers_[place - kUnderWay];
    earlier.wait();
    earlier.all = at::Tensor();
  }
  const auto& bucket = transfer.bucket;
  const auto options = bucket.parameters[0]->value.options().dtype(at::kFloat).requires_grad(false);
  transfer.all = at::zeros({shards_.ranks().world_size() * bucket.width}, options);
  transfer.own = at::empty({bucket.width}, options);
  for (size_t i = 0; i < bucket.parameters.size(); ++i) {
    auto& parameter = *bucket.parameters[i];
    const auto gradient = (parameter.*gradient_)();
    if (!gradient.defined()) continue;  // zeros: another rank's may reach it
    if (!empty_pass_) has_gradient_[transfer.members[i]] = 1;
    shards_.each_piece(bucket, i, transfer.all, flat(gradient),
                       [](const at::Tensor& place, const at::Tensor& piece) { place.copy_(piece); });
    parameter.clear_gradient();
  }
  transfer.wait = shards_.ranks().start_reduce_scatter(transfer.all, transfer.own);
}

std::vector<core::Parameter*> GradientReducer::reached(GradientOf gradient) const {
  std::vector<double> has_gradient;
  for (const auto* parameter : parameters_) has_gradient.push_back((parameter->*gradient)().defined() ? 1 : 0);
  shards_.ranks().max(has_gradient);
  std::vector<core::Parameter*> parameters;
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (has_gradient[i] > 0) parameters.push_back(parameters_[i]);
  return parameters;
}

void GradientReducer::sum_whole(GradientOf gradient) const {
  const auto parameters = reached(gradient);
  std::vector<at::Tensor> gradients;
  for (auto* parameter : parameters) {
    parameter->ensure_gradient();
    gradients.push_back((parameter->*gradient)());
  }
  shards_.ranks().sum(gradients);
}

std::vector<at::Tensor> GradientReducer::finish(GradientOf gradient) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> pieces(parameters_.size());
  if (!shards_.sharded()) {
    sum_whole(gradient);
    std::ranges::transform(parameters_, pieces.begin(), [&](const core::Parameter* parameter) {
      const auto& summed = (parameter->*gradient)();
      return summed.defined() ? flat(summed) : at::Tensor();
    });
    return pieces;
  }
  if (gradient_ == nullptr) begin(gradient, /*empty_pass=*/false);
  TORCH_INTERNAL_ASSERT(gradient_ == gradient);
  while (next_ < transfers_.size()) send(transfers_[next_++]);
  shards_.ranks().max(has_gradient_);
  for (size_t place = 0; place < transfers_.size(); ++place) {
    auto& transfer = transfers_[place];
    if (place + kUnderWay >= transfers_.size()) transfer.wait();
    for (size_t i = 0; i < transfer.members.size(); ++i) {
      const auto member = transfer.members[i];
      if (has_gradient_[member] > 0)
        pieces[member] = transfer.own.narrow(0, transfer.bucket.places[i], shards_.piece(*parameters_[member]).size);
    }
  }
  reset();
  return pieces;
}

}  // namespace sightloop::update
