# NVIDIA devices: the .cu beside an op, and libtorch's CUDA libraries. Without SIGHTLOOP_CUDA none of it is seen.
# Driven by cmake/cuda.mjs, which finds nvcc and a libtorch that was built with CUDA.
option(SIGHTLOOP_CUDA "build for NVIDIA devices" OFF)
if(NOT SIGHTLOOP_CUDA)
  return()
endif()
if(NOT EXISTS ${SIGHTLOOP_LIBTORCH}/lib/libtorch_cuda.so)
  message(FATAL_ERROR "SIGHTLOOP_LIBTORCH='${SIGHTLOOP_LIBTORCH}' was built without CUDA: it holds no lib/libtorch_cuda.so")
endif()
enable_language(CUDA)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # the one that libtorch uses, below
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# cmake before 3.26 does not know that nvcc speaks C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
set(CMAKE_CUDA_FLAGS "${CMAKE_CUDA_FLAGS} --expt-relaxed-constexpr -Xcompiler -fPIC -Werror all-warnings -diag-suppress 20012,20208,1866")

# Headers of CUDA's libraries: Python packages beside torch, or the toolkit's own.
file(GLOB nvidia_includes ${SIGHTLOOP_LIBTORCH}/../nvidia/*/include)
file(GLOB nvidia_libraries ${SIGHTLOOP_LIBTORCH}/../nvidia/*/lib)
find_file(cuda_runtime NAMES libcudart.so.13 libcudart.so.12 libcudart.so
  HINTS ${nvidia_libraries} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}/../lib64 ${SIGHTLOOP_LIBTORCH}/lib REQUIRED)

target_include_directories(libtorch SYSTEM INTERFACE ${nvidia_includes} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_compile_definitions(libtorch INTERFACE SIGHTLOOP_CUDA USE_CUDA)
target_link_libraries(libtorch INTERFACE
  ${libtorch_lib}/libtorch.so ${libtorch_lib}/libtorch_cuda.so ${libtorch_lib}/libc10_cuda.so ${cuda_runtime})
