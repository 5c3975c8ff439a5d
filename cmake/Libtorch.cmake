# libtorch by path: the target `libtorch`, used by every room. find_package(Torch) is avoided: it pulls in a CUDA toolkit
# wherever the wheel was built with one. SIGHTLOOP_LIBTORCH is the folder that holds lib/ and include/ (cmake/libtorch.mjs).
set(SIGHTLOOP_LIBTORCH "" CACHE PATH "folder of libtorch, with lib/ and include/")
if(NOT EXISTS ${SIGHTLOOP_LIBTORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "SIGHTLOOP_LIBTORCH='${SIGHTLOOP_LIBTORCH}' holds no lib/libtorch_cpu.so; build with `npm run build:addon`, which finds libtorch")
endif()
set(libtorch_lib ${SIGHTLOOP_LIBTORCH}/lib)

add_library(libtorch INTERFACE)
target_include_directories(libtorch SYSTEM INTERFACE
  ${SIGHTLOOP_LIBTORCH}/include ${SIGHTLOOP_LIBTORCH}/include/torch/csrc/api/include)

# The C++ ABI the wheel was built with: 1 (the new one) in every supported version, read all the same where it is stated.
set(libtorch_abi 1)
set(libtorch_config ${SIGHTLOOP_LIBTORCH}/share/cmake/Torch/TorchConfig.cmake)
if(EXISTS ${libtorch_config})
  file(STRINGS ${libtorch_config} abi_line REGEX "_GLIBCXX_USE_CXX11_ABI=[01]")
  if(abi_line MATCHES "_GLIBCXX_USE_CXX11_ABI=([01])")
    set(libtorch_abi ${CMAKE_MATCH_1})
  endif()
endif()
target_compile_definitions(libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=${libtorch_abi})

# at::parallel_for is inlined from the headers and needs -fopenmp when ATen was built with OpenMP. It is a compile option
# only: linking goes to the OpenMP runtime that libtorch itself brings, so that a process never holds two of them.
file(STRINGS ${SIGHTLOOP_LIBTORCH}/include/ATen/Config.h openmp REGEX "define AT_PARALLEL_OPENMP 1")
option(SIGHTLOOP_OPENMP "compile with -fopenmp where ATen was" ON)
if(openmp AND SIGHTLOOP_OPENMP)
  target_compile_options(libtorch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  file(GLOB libtorch_openmp ${libtorch_lib}/libgomp*.so* ${libtorch_lib}/libomp*.so* ${libtorch_lib}/libiomp5.so)
  if(NOT libtorch_openmp)  # a libtorch built against the system's
    set(libtorch_openmp -fopenmp)
  endif()
endif()

# libtorch.so is left out of a CPU build: it holds no code, and in a CUDA wheel it would pull in every CUDA library.
target_link_libraries(libtorch INTERFACE
  -Wl,--no-as-needed ${libtorch_lib}/libtorch_cpu.so ${libtorch_lib}/libc10.so ${libtorch_openmp})
