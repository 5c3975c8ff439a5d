# room(<path> USES <rooms...>): one static library per folder, with every .cpp in it.
#
# A room's headers are reachable only through its own view: a folder in the build tree that holds nothing but a link to
# the room. `#include "core/check.h"` therefore resolves only if this room, or one it uses, uses core. A forbidden include
# is a build error, not a review comment. A room without a .cpp yet is an interface library, so it can be used all the same.
#
#   room_name(<path> <variable>)  the CMake target of a room: pipeline/data -> pipeline_data

# The headers of ATen and of the JSON reader take 10 to 20 s to parse: compiled once, they are reused by every room (this
# halves a cold build). None of our own headers is in here, so the rule above holds. torch's autograd header stays out: the
# templates it leaves pending cost every file 1.4 s, and few files need it.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "")
add_library(precompiled STATIC ${CMAKE_BINARY_DIR}/precompiled.cpp)
target_link_libraries(precompiled PRIVATE libtorch third_party warnings)
target_precompile_headers(precompiled PRIVATE
  <ATen/ATen.h> <ATen/Parallel.h> <ATen/core/grad_mode.h> <nlohmann/json.hpp>)

function(room_name path variable)
  string(REPLACE "/" "_" name ${path})
  set(${variable} ${name} PARENT_SCOPE)
endfunction()

function(room path)
  cmake_parse_arguments(PARSE_ARGV 1 room "" "" "USES")
  room_name(${path} name)

  # The view: <build>/rooms/<name>/<path> -> native/<path>.
  cmake_path(SET view ${CMAKE_BINARY_DIR}/rooms/${name}/${path})
  cmake_path(GET view PARENT_PATH parent)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${path} ${view} SYMBOLIC)

  set(uses libtorch)
  foreach(used IN LISTS room_USES)
    room_name(${used} used_name)
    if(NOT TARGET ${used_name})
      message(FATAL_ERROR "room ${path} uses ${used}, which is not a room declared before it")
    endif()
    list(APPEND uses ${used_name})
  endforeach()

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${path}/*.cpp)
  if(SIGHTLOOP_CUDA)
    file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${path}/*.cu)
    list(APPEND sources ${kernels})
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    set_property(GLOBAL APPEND PROPERTY SIGHTLOOP_ROOMS ${name})
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE warnings)
    target_precompile_headers(${name} REUSE_FROM precompiled)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${CMAKE_BINARY_DIR}/rooms/${name})
  target_link_libraries(${name} ${scope} ${uses})
endfunction()
