#include "core/host_memory.h"

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace sightloop::core {

void keep_freed_memory() {
#ifdef __GLIBC__
  for (const char* setting : {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"})
    if (std::getenv(setting) != nullptr) return;
  mallopt(M_MMAP_MAX, 0);         // all from the heap, whose free blocks are merged and reused
  mallopt(M_TRIM_THRESHOLD, -1);  // never
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);  // other arenas cannot hold a large block
#endif
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace sightloop::core
