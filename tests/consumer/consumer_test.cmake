# cmake -DSOURCE=<project> -DWORK=<scratch folder> -DSHARED=ON|OFF -DCXX=<compiler> -P this
# Builds and installs the libraries afresh, copies the install tree elsewhere, and lets a foreign
# project find it there, by CMake and by pkg-config.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\nreturned ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G Ninja -DCMAKE_CXX_COMPILER=${CXX}
    -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DBUILD_SHARED_LIBS=${SHARED} -DCMAKE_BUILD_TYPE=Release
    -DBLOCKFILL_BUILD_MASKS=OFF -DBLOCKFILL_BUILD_EXPERIMENTS=OFF -DBLOCKFILL_BUILD_TESTS=OFF -DBLOCKFILL_BUILD_BENCHMARKS=OFF
    -DCMAKE_INSTALL_PREFIX=${WORK}/first)
run(${CMAKE_COMMAND} --build ${WORK}/build)

# libreorder alone must install and link alone: its tree holds neither libattn nor its headers.
foreach(component reorder attn)
  run(${CMAKE_COMMAND} --install ${WORK}/build --component reorder)
  if(component STREQUAL attn)
    run(${CMAKE_COMMAND} --install ${WORK}/build --component attn)
  endif()
  file(REMOVE_RECURSE ${WORK}/elsewhere)
  file(RENAME ${WORK}/first ${WORK}/elsewhere)
  file(GLOB_RECURSE foreign ${WORK}/elsewhere/*attn*)
  if(component STREQUAL reorder AND foreign)
    message(FATAL_ERROR "the reorder component installed ${foreign}")
  endif()

  run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${WORK}/consumer_${component} -G Ninja
      -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${WORK}/elsewhere -DCOMPONENT=${component})
  run(${CMAKE_COMMAND} --build ${WORK}/consumer_${component})
  run(${WORK}/consumer_${component}/consumer)
  message(STATUS "${component} by CMake: ${output}")

  # A component that is not there is named.
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${WORK}/consumer_masks -G Ninja
                          -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${WORK}/elsewhere -DCOMPONENT=masks
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE message)
  if(status EQUAL 0 OR NOT message MATCHES "no[ \n]+component[ \n]+'masks'")
    message(FATAL_ERROR "asking for a component that does not exist said:\n${message}")
  endif()

  # No CUDA and no sibling library in what the program loads.
  run(ldd ${WORK}/consumer_${component}/consumer)
  if(output MATCHES "cuda|nvidia" OR (component STREQUAL reorder AND output MATCHES "blockfill_attn"))
    message(FATAL_ERROR "the ${component} consumer loads what it must not:\n${output}")
  endif()

  find_program(PKG_CONFIG pkg-config REQUIRED)
  file(GLOB_RECURSE pc_file ${WORK}/elsewhere/*/blockfill-${component}.pc)
  get_filename_component(pc_dir ${pc_file} DIRECTORY)
  if(SHARED)
    set(static)
  else()
    set(static --static)
  endif()
  run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${pc_dir} ${PKG_CONFIG} ${static} --cflags --libs blockfill-${component})
  string(STRIP "${output}" flags)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run(${CXX} -std=c++20 ${SOURCE}/tests/consumer/${component}.cpp -o ${WORK}/by_pkg_config ${flags})
  file(GLOB lib_dir ${WORK}/elsewhere/lib ${WORK}/elsewhere/lib/*-linux-gnu)
  list(JOIN lib_dir ":" lib_path)
  run(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${lib_path} ${WORK}/by_pkg_config)
  message(STATUS "${component} by pkg-config: ${output}")
endforeach()
