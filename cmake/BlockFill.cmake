# Helpers shared by all targets of the project.

# Warnings and sanitizers for a target of this project; never passed on to its users.
function(blockfill_target_defaults target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow
                                           $<$<BOOL:${BLOCKFILL_WERROR}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # "text" + std::string draws a false alarm from GCC 12 (its bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(BLOCKFILL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${BLOCKFILL_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${BLOCKFILL_SANITIZE})
  endif()
endfunction()

# blockfill_add_library(<name> <include dir> <sources>...): target blockfill_<name> with the alias
# blockfill::<name>, whose headers are <name/*.hpp> under the include dir.
function(blockfill_add_library name include_dir)
  add_library(blockfill_${name} ${ARGN})
  add_library(blockfill::${name} ALIAS blockfill_${name})
  set_target_properties(blockfill_${name} PROPERTIES EXPORT_NAME ${name} VERSION ${PROJECT_VERSION}
                                                     SOVERSION ${PROJECT_VERSION_MAJOR})
  target_compile_features(blockfill_${name} PUBLIC cxx_std_20)
  target_include_directories(
    blockfill_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/${include_dir}>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  blockfill_target_defaults(blockfill_${name})
endfunction()

# blockfill_read_def(<out> <file> <macro>): the names in the lines `MACRO(name)` of a list file. The
# same file is included by C++, so that a new entry is one new source file and one line.
function(blockfill_read_def out file macro)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(STRINGS ${file} lines REGEX "^${macro}\\(")
  set(names)
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^${macro}\\(([a-z0-9_]+)\\).*" "\\1" name "${line}")
    list(APPEND names ${name})
  endforeach()
  set(${out} ${names} PARENT_SCOPE)
endfunction()

# blockfill_add_test(<name> LIBS <targets> SOURCES <files> [LABELS <labels>])
function(blockfill_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS;SOURCES;LABELS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} blockfill_test_support GTest::gtest_main)
  blockfill_target_defaults(${name})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 600 SKIP_RETURN_CODE 77)
endfunction()
