#include "elsewhere/elsewhere.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace sightloop::elsewhere {
namespace {

std::atomic<int64_t> count{0};

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto* data = bytes == 0 ? nullptr : std::malloc(bytes);
    return {data, data, &std::free, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;

constexpr c10::DispatchKeySet kHostKeys(c10::DispatchKey::CPU), kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor tensor_over(c10::Storage storage, const at::Tensor& like, c10::DispatchKeySet keys, int64_t offset) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, like.dtype());
  tensor.unsafeGetTensorImpl()->set_storage_offset(offset);
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides());
  return tensor;
}

// The same memory, taken for the host's.
at::Tensor seen_by_host(const at::Tensor& tensor) {
  const auto& storage = tensor.storage();
  if (storage.nbytes() == 0) return at::empty(tensor.sizes(), tensor.scalar_type());  // may be made larger
  c10::Storage alias(c10::Storage::use_byte_size_t(), storage.nbytes(), c10::DataPtr(storage.mutable_data(), at::kCPU));
  return tensor_over(std::move(alias), tensor, kHostKeys, tensor.storage_offset());
}

// One call of an op, by way of the host.
class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack) : op_(op), stack_(stack) {}

  void run() {
    const auto& schema = op_.schema();
    const auto arguments = schema.arguments().size();
    for (auto i = stack_->size() - arguments; i < stack_->size(); ++i) (*stack_)[i] = to_host((*stack_)[i]);
    op_.callBoxed(stack_);
    for (auto i = stack_->size() - schema.returns().size(); i < stack_->size(); ++i) (*stack_)[i] = back((*stack_)[i]);
    for (const auto& [host, original] : seen_) {
      if (host.sizes() == original.sizes()) continue;
      TORCH_CHECK(original.storage().nbytes() == 0, name(), " made a tensor larger that was not empty");
      auto* resized = original.unsafeGetTensorImpl();
      resized->set_storage_keep_dtype(own_storage(host));
      resized->set_sizes_and_strides(host.sizes(), host.strides());
    }
  }

 private:
  std::string name() const { return op_.schema().operator_name().name; }

  at::Tensor to_host(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    TORCH_CHECK(tensor.device() == kDevice || (tensor.is_cpu() && tensor.dim() == 0), name(), ": a tensor of shape ",
                tensor.sizes(), " is on ", tensor.device(), ", the others are on ", kDevice);
    if (tensor.is_cpu()) return tensor;
    seen_.emplace_back(seen_by_host(tensor), tensor);
    return seen_.back().first;
  }

  c10::IValue to_host(const c10::IValue& value) {
    if (value.isTensor()) return to_host(value.toTensor());
    if (value.isDevice()) return value.toDevice() == kDevice ? c10::IValue(at::Device(at::kCPU)) : value;
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorList()) list.push_back(to_host(tensor));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorList())
        list.push_back(tensor ? std::optional(to_host(*tensor)) : std::nullopt);
      return list;
    }
    return value;
  }

  c10::IValue back(const c10::IValue& value) {
    if (value.isTensor()) return back(value.toTensor());
    if (!value.isTensorList()) return value;
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorList()) list.push_back(back(tensor));
    return list;
  }

  // The argument itself, a view of one, or a tensor of its own.
  at::Tensor back(const at::Tensor& host) {
    if (!host.defined()) return host;
    for (const auto& [alias, original] : seen_) {
      if (alias.is_same(host)) return original;
      if (alias.storage().data() == host.storage().data() && host.storage().nbytes() > 0)
        return tensor_over(original.storage(), host, kKeys, host.storage_offset());
    }
    return tensor_over(own_storage(host), host, kKeys, host.storage_offset());
  }

  static c10::Storage own_storage(const at::Tensor& host) {
    auto* owner = new at::Tensor(host);
    return {
        c10::Storage::use_byte_size_t(), host.storage().nbytes(),
        c10::DataPtr(
            host.storage().mutable_data(), owner, [](void* held) { delete static_cast<at::Tensor*>(held); }, kDevice)};
  }

  const c10::OperatorHandle& op_;
  torch::jit::Stack* stack_;
  std::vector<std::pair<at::Tensor, at::Tensor>> seen_;  // as the host sees it, itself
};

void run(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  ++count;
  Call(op, stack).run();
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout> /*layout*/,
                 std::optional<at::Device> /*device*/, std::optional<bool> /*pinned*/,
                 std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, dtype.value_or(at::kFloat), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout> /*layout*/, std::optional<at::Device> /*device*/,
                         std::optional<bool> /*pinned*/) {
  return at::detail::empty_strided_generic(size, stride, &memory, kKeys, dtype.value_or(at::kFloat));
}

// The only way from one side to the other.
at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool /*non_blocking*/) {
  const auto on_host = [](const at::Tensor& tensor) { return tensor.is_cpu() ? tensor : seen_by_host(tensor); };
  on_host(to).copy_(on_host(from));
  return to;
}

}  // namespace

int64_t calls() { return count; }

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&run>()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
}

}  // namespace sightloop::elsewhere

namespace {

// Every op has ended when it returns: there is nothing to wait for.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1> {
  static c10::Stream only() { return c10::Stream(c10::Stream::DEFAULT, sightloop::elsewhere::kDevice); }

  c10::Device exchangeDevice(c10::Device /*device*/) const override { return sightloop::elsewhere::kDevice; }
  c10::Device getDevice() const override { return sightloop::elsewhere::kDevice; }
  c10::Stream getStream(c10::Device /*device*/) const noexcept override { return only(); }
  c10::Stream getDefaultStream(c10::Device /*device*/) const override { return only(); }
  c10::Stream getNewStream(c10::Device /*device*/, int /*priority*/) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream /*stream*/) const noexcept override { return only(); }
  void record(void** /*event*/, const c10::Stream& /*stream*/, c10::DeviceIndex /*index*/,
              c10::EventFlag /*flag*/) const override {}
  void block(void* /*event*/, const c10::Stream& /*stream*/) const override {}
  bool queryEvent(void* /*event*/) const override { return true; }
  void destroyEvent(void* /*event*/, c10::DeviceIndex /*index*/) const noexcept override {}
  void synchronizeEvent(void* /*event*/) const override {}
};

}  // namespace

namespace at::detail {
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)
}

namespace {

// What autograd asks of a device.
struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex /*index*/) const override { return true; }
  at::DeviceIndex deviceCount() const override { return 1; }
  // Seeded with the host's; nothing draws from it.
  const at::Generator& getDefaultGenerator(at::DeviceIndex /*index*/) const override {
    return at::detail::getDefaultCPUGenerator();
  }
};

const bool registered = [] {
  static Hooks hooks;
  c10::SetAllocator(c10::DeviceType::PrivateUse1, &sightloop::elsewhere::memory);
  c10::register_privateuse1_backend("elsewhere");
  at::RegisterPrivateUse1HooksInterface(&hooks);
  return true;
}();

}  // namespace
