# Node-API headers: node-api-headers (C) and node-addon-api (C++), from node_modules. Only the room `binding` uses this target.
#
# cmake-js passes CMAKE_JS_INC (the folder of node_api.h). node-addon-api's own `include_dir` is relative, so the folder is
# asked of Node's resolver, which also finds it when npm has hoisted it beside the package.
execute_process(
  COMMAND node -p "[require.resolve('node-api-headers/package.json'), require.resolve('node-addon-api/package.json')].join(';')"
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE manifests OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "node-api-headers and node-addon-api are not installed: run `npm ci` first")
endif()
list(GET manifests 0 c_manifest)
list(GET manifests 1 cxx_manifest)
cmake_path(GET c_manifest PARENT_PATH c_folder)
cmake_path(GET cxx_manifest PARENT_PATH cxx_folder)

add_library(node_api INTERFACE)
target_include_directories(node_api SYSTEM INTERFACE ${c_folder}/include ${cxx_folder})
# A worker that is being ended takes no exception any more: it is dropped there, in place of ending the process.
target_compile_definitions(node_api INTERFACE
  NAPI_VERSION=8 NODE_ADDON_API_CPP_EXCEPTIONS NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
