#include "doctest/doctest.h"
#include "emulation/cuda.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/device.cuh"

namespace device = sightloop::kernels::device;
using emulation::emulate;

namespace {

void sum_all(const int* values, int* sums) {
  auto* shared = reinterpret_cast<int*>(emulation::shared_memory());
  const int sum = device::block_reduce(values[blockIdx.x * blockDim.x + threadIdx.x], device::Add(), shared);
  if (threadIdx.x == blockDim.x - 1) sums[blockIdx.x] = sum;
}

// Each thread reads what its neighbour wrote, with a barrier between or without.
void turn(int* values, bool barrier) {
  auto* shared = reinterpret_cast<int*>(emulation::shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (barrier) __syncthreads();
  values[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

void half_at_barrier() {
  if (threadIdx.x < 32) __syncthreads();
}
void two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
void absent_lane() {
  if (threadIdx.x % 32 > 0) __shfl_sync(~0U, 1, 0);
}
void write_at(int index) { emulation::shared_memory()[index] = 1; }
void load_at(int index) { device::load<4>(reinterpret_cast<float*>(emulation::shared_memory()) + index); }
void leave() { throw std::runtime_error("from a kernel"); }

template <typename... Arguments>
std::string failure(size_t shared, Arguments... arguments) {
  try {
    emulate({.x = 2}, {.x = 64}, shared, arguments...);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace

DOCTEST_TEST_CASE("cuda emulation: shuffles, barriers and shared memory add up over blocks of any number of warps") {
  for (const unsigned threads : {32U, 64U, 1024U}) {
    std::vector<int> values(3 * threads), sums(3), exact(3);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<int>(i * 7 % 31), exact[i / threads] += values[i];
    emulate({.x = 3}, {.x = threads}, 128, sum_all, values.data(), sums.data());
    DOCTEST_CHECK(sums == exact);
  }
}

DOCTEST_TEST_CASE("cuda emulation: a missing barrier is seen as a wrong result") {
  const auto wrong = [](bool barrier) {
    bool seen = false;
    for (int run = 0; run < 8; ++run) {
      std::vector<int> values(64);
      emulate({}, {.x = 64}, 256, turn, values.data(), barrier);
      for (int i = 0; i < 64; ++i) seen = seen || values[i] != (i + 1) % 64;
    }
    return seen;
  };
  DOCTEST_CHECK(wrong(false));
  DOCTEST_CHECK_FALSE(wrong(true));
}

DOCTEST_TEST_CASE("cuda emulation: errors of the model are thrown, and the next launch works") {
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  DOCTEST_CHECK(contains(failure(0, half_at_barrier), "is reached by 32 of 64 threads"));
  DOCTEST_CHECK(contains(failure(0, two_barriers), "two barriers"));
  DOCTEST_CHECK(contains(failure(0, absent_lane), "lanes that do not come"));
  DOCTEST_CHECK(contains(failure(16, write_at, 16), "outside its 16 bytes"));
  DOCTEST_CHECK(contains(failure(16, write_at, -1), "outside its 16 bytes"));
  DOCTEST_CHECK(failure(16, write_at, 15).empty());
  DOCTEST_CHECK(contains(failure(64, load_at, 2), "not aligned"));
  DOCTEST_CHECK(failure(64, load_at, 4).empty());
  DOCTEST_CHECK(contains(failure(0, leave), "from a kernel"));
  DOCTEST_CHECK(contains(failure(64 << 10, leave), "more than 48 KiB"));
}
