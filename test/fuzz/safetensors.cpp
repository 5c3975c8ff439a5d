// Any bytes as a safetensors file: read whole, or refused by a c10::Error. Every byte that a tensor claims is touched.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int file = ::memfd_create("input", MFD_CLOEXEC);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const sightloop::checkpoint::SafetensorsFile read("/proc/self/fd/" + std::to_string(file));
    volatile uint8_t sum = 0;
    for (const auto& [name, tensor] : read.tensors()) {
      const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
      for (size_t i = 0; i < tensor.nbytes(); ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
    }
  } catch (const c10::Error&) {
  }
  ::close(file);
  return 0;
}
