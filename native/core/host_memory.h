#pragma once

// The C library's allocator, process-wide. By default glibc gives every large block back to the system when it is freed, and
// the next tensor of that size pays for zeroed pages again: more than the arithmetic it is for (bench/LOG.md).
namespace sightloop::core {

// From now on freed memory stays with the process for reuse. A user's own MALLOC_* or GLIBC_TUNABLES setting wins.
void keep_freed_memory();

// Gives what is free at the moment back to the system.
void return_freed_memory();

}  // namespace sightloop::core
