#include "emulation/cuda.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// A fiber is made once by makecontext and then left and entered by _longjmp, which makes no system call. The name is bound to
// the plain function because glibc's fortified one forbids jumps to another stack.
extern "C" [[noreturn]] void emulation_jump(jmp_buf to, int value) __asm__("_longjmp");

namespace emulation {
namespace {

constexpr size_t kStackBytes = 64 << 10, kGuardBytes = 256, kAlignment = 128;
constexpr unsigned char kGuard = 0xA5;

enum class State : uint8_t { ready, at_warp, at_block, done };

struct Fiber {
  std::unique_ptr<unsigned char[]> stack = std::make_unique_for_overwrite<unsigned char[]>(kStackBytes);
  jmp_buf place;
  ucontext_t start;
  bool started = false;
  dim3 index;
  State state = State::ready;
  unsigned mask = 0;
  std::optional<std::source_location> barrier;
  bool odd = false;  // which of its warp's two sets of values is used next: a quick lane may be one exchange ahead
};

using Lanes = std::array<uint64_t, 32>;

struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept from launch to launch
  std::vector<std::array<Lanes, 2>> given;     // by warp
  std::vector<unsigned char> memory;           // of the block: a guard, its shared memory, a guard
  unsigned char* shared = nullptr;             // aligned as on the device
  jmp_buf scheduler;
  ucontext_t scheduler_context;
  Fiber* current = nullptr;
  const std::function<void()>* thread = nullptr;
  std::exception_ptr error;
  unsigned turns = 0;
} machine;

// Sanitizers keep books about stacks.
struct Crossing {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  static inline const void* scheduler_bottom = nullptr;
  static inline size_t scheduler_size = 0;
  void leave(const void* bottom, size_t size) { __sanitizer_start_switch_fiber(&fake, bottom, size); }
  void to_scheduler() { leave(scheduler_bottom, scheduler_size); }
  void back() { __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
  static void arrive_first() { __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size); }
#else
  void leave(const void*, size_t) {}
  void to_scheduler() {}
  void back() {}
  static void arrive_first() {}
#endif
};

void yield(State state) {
  auto* self = machine.current;
  self->state = state;
  Crossing crossing;
  crossing.to_scheduler();
  if (_setjmp(self->place) == 0) emulation_jump(machine.scheduler, 1);
  crossing.back();
}

void live() {
  Crossing::arrive_first();
  for (;;) {
    try {
      (*machine.thread)();
    } catch (...) {
      machine.error = std::current_exception();
    }
    yield(State::done);
  }
}

void enter(Fiber& fiber) {
  machine.current = &fiber;
  threadIdx = fiber.index;
  Crossing crossing;
  crossing.leave(fiber.stack.get(), kStackBytes);
  if (_setjmp(machine.scheduler) == 0) {
    if (fiber.started) emulation_jump(fiber.place, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, live, 0);
    swapcontext(&machine.scheduler_context, &fiber.start);
  }
  crossing.back();
}

[[noreturn]] void fail(const std::string& what) {
  machine.fibers.clear();  // they stand in the middle of a kernel
  throw std::runtime_error("emulated CUDA: " + what);
}

// Lanes whose whole mask has arrived go on. Returns whether there are any.   first: the warp's first thread
bool release_lanes(size_t first, size_t threads) {
  bool released = false;
  for (size_t lane = first; lane < std::min(first + 32, threads); ++lane) {
    if (machine.fibers[lane]->state != State::at_warp) continue;
    const auto mask = machine.fibers[lane]->mask;
    bool complete = true;
    const auto each = [&](const auto& use) {
      for (size_t other = 0; other < 32; ++other)
        if ((mask >> other & 1) != 0) use(first + other);
    };
    each([&](size_t i) {
      complete =
          complete && i < threads && machine.fibers[i]->state == State::at_warp && machine.fibers[i]->mask == mask;
    });
    if (!complete) continue;
    each([](size_t i) { machine.fibers[i]->state = State::ready; });
    released = true;
  }
  return released;
}

// When no thread can go on by itself: returns whether all stood at a barrier, and go on, or false when all are done.
bool release_block(size_t threads) {
  size_t waiting = 0, done = 0;
  std::optional<std::source_location> place;
  for (size_t i = 0; i < threads; ++i) {
    auto& fiber = *machine.fibers[i];
    if (fiber.state == State::done) ++done;
    if (fiber.state != State::at_block) continue;
    ++waiting;
    if (place && place->line() != fiber.barrier->line())
      fail("threads wait at two barriers, lines " + std::to_string(place->line()) + " and " +
           std::to_string(fiber.barrier->line()));
    place = fiber.barrier;
  }
  if (done == threads) return false;
  if (waiting < threads)
    fail(place ? "the barrier at line " + std::to_string(place->line()) + " is reached by " + std::to_string(waiting) +
                     " of " + std::to_string(threads) + " threads"
               : "a warp operation waits for lanes that do not come");
  for (size_t i = 0; i < threads; ++i) machine.fibers[i]->state = State::ready;
  return true;
}

// Each warp runs as far as it can before the next one starts: what a barrier should have kept apart then meets.
void run_warp(size_t first, size_t threads, bool backwards) {
  const auto lanes = std::min<size_t>(32, threads - first);
  do {
    for (size_t i = 0; i < lanes; ++i) {
      auto& fiber = *machine.fibers[first + (backwards ? lanes - 1 - i : i)];
      if (fiber.state == State::ready) enter(fiber);
      if (!machine.error) continue;
      machine.fibers.clear();
      std::rethrow_exception(std::exchange(machine.error, nullptr));
    }
  } while (release_lanes(first, threads));
}

void run_block(size_t threads, size_t shared_bytes) {
  machine.memory.assign(shared_bytes + 2 * kGuardBytes + kAlignment, kGuard);
  machine.shared = machine.memory.data() + kGuardBytes;
  machine.shared += kAlignment - reinterpret_cast<uintptr_t>(machine.shared) % kAlignment;
  std::fill_n(machine.shared, shared_bytes, 0xFF);
  for (size_t i = 0; i < threads; ++i) machine.fibers[i]->state = State::ready, machine.fibers[i]->odd = false;
  const auto warps = (threads + 31) / 32;
  do {
    const bool backwards = (++machine.turns * 2654435761U >> 16 & 1) != 0;
    for (size_t i = 0; i < warps; ++i) run_warp((backwards ? warps - 1 - i : i) * 32, threads, backwards);
  } while (release_block(threads));
  const auto intact = [](auto from) {
    return std::all_of(from, from + kGuardBytes, [](auto x) { return x == kGuard; });
  };
  if (!intact(machine.shared - kGuardBytes) || !intact(machine.shared + shared_bytes))
    fail("shared memory was written outside its " + std::to_string(shared_bytes) + " bytes");
}

}  // namespace

unsigned char* shared_memory() { return machine.shared; }

void check_aligned(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    throw std::runtime_error("emulated CUDA: an access of " + std::to_string(bytes) + " bytes is not aligned");
}

const uint64_t* exchange(unsigned mask, uint64_t given) {
  auto& fiber = *machine.current;
  const auto lane = fiber.index.x % 32;
  if ((mask >> lane & 1) == 0) throw std::runtime_error("emulated CUDA: a lane is not in its own mask");
  auto& values = machine.given[fiber.index.x / 32][fiber.odd ? 1 : 0];
  fiber.odd = !fiber.odd;
  values[lane] = given;
  fiber.mask = mask;
  yield(State::at_warp);
  return values.data();
}

void wait_for_block(const std::source_location& where) {
  machine.current->barrier = where;
  yield(State::at_block);
}

void launch(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  if (block.y != 1 || block.z != 1 || block.x == 0 || block.x > 1024 || grid.y > 65535 || grid.z > 65535)
    throw std::runtime_error("emulated CUDA: no such launch");
  if (shared_bytes > 48 << 10) throw std::runtime_error("emulated CUDA: more than 48 KiB of shared memory");
  while (machine.fibers.size() < block.x) machine.fibers.push_back(std::make_unique<Fiber>());
  for (unsigned i = 0; i < block.x; ++i) machine.fibers[i]->index = {.x = i, .y = 0, .z = 0};
  machine.given.resize((block.x + 31) / 32);
  machine.thread = &thread;
  blockDim = block, gridDim = grid;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block(block.x, shared_bytes);
}

}  // namespace emulation
