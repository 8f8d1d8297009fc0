# Installs the libraries, one component each, with a relocatable CMake package
# (find_package(BlockFill COMPONENTS reorder attn)) and pkg-config files.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/BlockFill)

# blockfill_install_library(<name> <include dir> <description>)
function(blockfill_install_library name include_dir description)
  set(target blockfill_${name})
  install(TARGETS ${target} EXPORT BlockFill_${name}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${name}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${name})
  install(DIRECTORY ${include_dir}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT ${name}
          FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
  install(EXPORT BlockFill_${name} FILE BlockFill_${name}.cmake NAMESPACE blockfill::
          DESTINATION ${package_dir} COMPONENT ${name})

  # A static library leaves its own dependencies to whoever links it: the package config finds
  # them again, and the pkg-config file lists them under Libs.private.
  set(find_dependencies)
  set(private_libs)
  get_target_property(is_type ${target} TYPE)
  if(is_type STREQUAL STATIC_LIBRARY)
    get_target_property(libs ${target} LINK_LIBRARIES)
    string(REGEX REPLACE "\\$<LINK_ONLY:([^>]+)>" "\\1" libs "${libs}")
    string(REGEX REPLACE "\\$<BUILD_INTERFACE:[^>]+>" "" libs "${libs}")
    foreach(lib IN LISTS libs)
      if(lib MATCHES "^CUDA::")
        list(APPEND find_dependencies "find_dependency(CUDAToolkit)")
      elseif(lib MATCHES "^([A-Za-z]+)::")
        list(APPEND find_dependencies "find_dependency(${CMAKE_MATCH_1})")
      endif()
    endforeach()
    list(REMOVE_DUPLICATES find_dependencies)
    foreach(pair "METIS::METIS= -lmetis" "AMD::AMD= -lamd -lsuitesparseconfig" "hwy::hwy= -lhwy"
                 "${CMAKE_DL_LIBS}= -l${CMAKE_DL_LIBS}")
      string(REGEX MATCH "^(.*)= (.*)$" matched "${pair}")
      if(CMAKE_MATCH_1 IN_LIST libs)
        string(APPEND private_libs " ${CMAKE_MATCH_2}")
      endif()
    endforeach()
    string(APPEND private_libs " -lpthread -lstdc++ -lm")
  endif()
  list(JOIN find_dependencies "\n" BLOCKFILL_FIND_DEPENDENCIES)
  set(BLOCKFILL_COMPONENT ${name})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/BlockFillComponent.cmake.in
                 ${PROJECT_BINARY_DIR}/package/BlockFill_${name}-config.cmake @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/BlockFill_${name}-config.cmake
          DESTINATION ${package_dir} COMPONENT ${name})

  set(BLOCKFILL_DESCRIPTION ${description})
  set(BLOCKFILL_PRIVATE_LIBS "${private_libs}")
  file(RELATIVE_PATH BLOCKFILL_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" BLOCKFILL_PC_PREFIX "${BLOCKFILL_PC_PREFIX}")
  configure_file(${PROJECT_SOURCE_DIR}/cmake/blockfill.pc.in
                 ${PROJECT_BINARY_DIR}/package/blockfill-${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/blockfill-${name}.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${name})
endfunction()

blockfill_install_library(reorder libreorder/include "Orderings that pack a mask into few tiles")
if(BLOCKFILL_BUILD_ATTN)
  blockfill_install_library(attn libattn/include "Exact attention under partially filled masks")
endif()

configure_package_config_file(cmake/BlockFillConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/package/BlockFillConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/BlockFillConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/BlockFillConfig.cmake
              ${PROJECT_BINARY_DIR}/package/BlockFillConfigVersion.cmake
              cmake/FindMETIS.cmake cmake/FindAMD.cmake
        DESTINATION ${package_dir} COMPONENT reorder)
