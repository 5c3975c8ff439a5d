#pragma once

namespace sightloop::core {

// Of the functions that are compiled for several, as the loader chose on this machine: "avx512", "avx2" or "baseline".
const char* instruction_set();

}  // namespace sightloop::core
