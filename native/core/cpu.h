#pragma once

// Compiles a function for three instruction sets; the loader picks the best one for the machine it runs on.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define SIGHTLOOP_HAS_CPU_CLONES
#define SIGHTLOOP_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SIGHTLOOP_CPU_CLONES
#endif
