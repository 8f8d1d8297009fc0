# cmake -DSOURCE=<project> -DCXX=<compiler> -DINCLUDES=<folders> -P this
# The walls of the project:
#   libreorder knows no CUDA and no attn/; libattn knows no reorder/, masks/, Eigen, Boost or METIS;
#   public headers show no third-party and no CUDA types, and each compiles alone.
set(third_party "Eigen|boost/|metis|amd\\.h|hwy/|nlohmann|CLI/|zlib|cuda|cute|cutlass")

function(forbid folder pattern reason)
  file(GLOB_RECURSE files ${SOURCE}/${folder}/*.hpp ${SOURCE}/${folder}/*.h ${SOURCE}/${folder}/*.cpp
       ${SOURCE}/${folder}/*.cuh ${SOURCE}/${folder}/*.cu ${SOURCE}/${folder}/*.in)
  if(NOT files)
    message(FATAL_ERROR "${folder} holds no source file: the layer test looks in the wrong place")
  endif()
  foreach(file IN LISTS files)
    file(STRINGS ${file} hits REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"](${pattern})")
    if(hits)
      message(SEND_ERROR "${file}: ${hits}: ${reason}")
    endif()
  endforeach()
endfunction()

forbid(libreorder "attn/|masks/|cuda|cute|cutlass" "libreorder includes no CUDA and no attn/")
forbid(libattn "reorder/|masks/|Eigen|boost/|metis" "libattn includes no reorder/, Eigen, Boost or METIS")
forbid(datasets "attn/|cuda" "the mask library needs only libreorder's pattern type")
foreach(folder libreorder/include libattn/include datasets/include)
  forbid(${folder} "${third_party}" "public headers show no third-party and no CUDA types")
endforeach()

string(REPLACE "," ";" includes "${INCLUDES}")
list(TRANSFORM includes PREPEND -I)
file(GLOB headers ${SOURCE}/libreorder/include/reorder/*.h* ${SOURCE}/libattn/include/attn/*.h*
     ${SOURCE}/datasets/include/masks/*.h*)
foreach(header IN LISTS headers)
  execute_process(COMMAND ${CXX} -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only ${includes}
                          -include ${header} -x c++ /dev/null
                  RESULT_VARIABLE status ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(SEND_ERROR "${header} does not compile alone:\n${errors}")
  endif()
endforeach()
