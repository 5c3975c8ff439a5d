# Warnings are errors, in our rooms and tests only (libtorch, Node-API and third_party are system includes).
add_library(warnings INTERFACE)
target_compile_options(warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<BOOL:${SIGHTLOOP_SANITIZE}>>>:-Werror>)  # instrumented code draws false ones
