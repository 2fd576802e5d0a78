# What every target of the project shares: warnings, sanitizers, and the three verbs
#   portolan_library(NAME SOURCES ... DEPS ... [PRIVATE_DEPS ...] [NO_EXCEPTIONS])
#   portolan_program(NAME SOURCES ... DEPS ...)
#   portolan_test(NAME SOURCES ... DEPS ... [TIMEOUT seconds] [LABELS ...])   one GoogleTest program = one CTest
# Includes are written from the repository's top: #include "broker/engine.hpp".
find_package(Threads REQUIRED)
if(PORTOLAN_TESTS)
  find_package(GTest REQUIRED)
endif()

add_library(portolan_options INTERFACE)
target_compile_options(portolan_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  # No fused multiply-add: the same bytes on every machine (design: "Same seed, same bytes").
  -ffp-contract=off)
target_include_directories(portolan_options INTERFACE ${CMAKE_SOURCE_DIR})
if(PORTOLAN_SANITIZE)
  target_compile_options(portolan_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(portolan_options INTERFACE -fsanitize=address,undefined)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12's instrumentation makes it see uninitialised values where there are none: still shown, no longer an error.
    target_compile_options(portolan_options INTERFACE -Wno-error=maybe-uninitialized)
  endif()
endif()

function(portolan_library name)
  cmake_parse_arguments(A "NO_EXCEPTIONS" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SOURCES)
    add_library(${name} STATIC ${A_SOURCES})
    target_link_libraries(${name} PUBLIC ${A_DEPS} PRIVATE portolan_options ${A_PRIVATE_DEPS})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    if(A_NO_EXCEPTIONS)
      target_compile_options(${name} PRIVATE -fno-exceptions -fno-rtti)
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${A_DEPS})
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
  endif()
endfunction()

function(portolan_program name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE portolan_options ${A_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(portolan_test name)
  if(NOT PORTOLAN_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE portolan_options ${A_DEPS} GTest::gtest GTest::gtest_main Threads::Threads)
  target_compile_definitions(${name} PRIVATE PORTOLAN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" PORTOLAN_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(PORTOLAN_SANITIZE)
    math(EXPR A_TIMEOUT "${A_TIMEOUT} * 6")  # sanitizers are several times slower
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()
