#include "core/instruction_set.h"

#include "core/cpu.h"

namespace sightloop::core {
namespace {

// The same versions as SIGHTLOOP_CPU_CLONES, chosen by the same rule; only each says its name.
#if defined(SIGHTLOOP_HAS_CPU_CLONES)
__attribute__((target("arch=x86-64-v4"))) const char* dispatched() { return "avx512"; }
__attribute__((target("arch=x86-64-v3"))) const char* dispatched() { return "avx2"; }
__attribute__((target("default"))) const char* dispatched() { return "baseline"; }
#else
const char* dispatched() { return "baseline"; }
#endif

}  // namespace

const char* instruction_set() { return dispatched(); }

}  // namespace sightloop::core
