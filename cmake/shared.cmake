# What `make install` installs besides: the shared library, which exports the functions of plugin/critpath.h and nothing
# else. Its objects are its own (position independent), so it is built when asked for: make -C build/cmake critpath_shared
file(STRINGS plugin/critpath.h VERSION_LINE REGEX "define CP_VERSION ")
string(REGEX MATCH "[0-9]+[.][0-9]+[.][0-9]+" CRITPATH_VERSION "${VERSION_LINE}")
string(REGEX MATCH "^[0-9]+" CRITPATH_MAJOR "${CRITPATH_VERSION}")
file(READ plugin/critpath.h HEADER)
string(REGEX MATCHALL "cp_[a-z0-9_]+\\(" EXPORTS "${HEADER}")
list(REMOVE_DUPLICATES EXPORTS)
list(TRANSFORM EXPORTS REPLACE "\\(" "")
list(JOIN EXPORTS "\n" EXPORTED_LINES)
list(JOIN EXPORTS "; " EXPORTED_NAMES)
# `exports` is for the static library, whose other symbols objcopy makes local.
file(WRITE ${CMAKE_BINARY_DIR}/exports "${EXPORTED_LINES}\n")
file(WRITE ${CMAKE_BINARY_DIR}/exports.map "{ global: ${EXPORTED_NAMES}; local: *; };\n")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS plugin/critpath.h)

add_library(critpath_shared SHARED EXCLUDE_FROM_ALL ${PLUGIN_SOURCES} ${CUDA_OBJECTS})
set_target_properties(critpath_shared PROPERTIES OUTPUT_NAME critpath VERSION ${CRITPATH_VERSION}
                      SOVERSION ${CRITPATH_MAJOR} SKIP_BUILD_RPATH ON LINK_DEPENDS ${CMAKE_BINARY_DIR}/exports.map)
# As in the executable, functions of the library call each other, not what a program puts in their place.
target_compile_options(critpath_shared PRIVATE -fno-semantic-interposition)
target_link_options(critpath_shared PRIVATE -Wl,--version-script=${CMAKE_BINARY_DIR}/exports.map -Wl,-Bsymbolic)
if(NOT SANITIZE)
  target_link_options(critpath_shared PRIVATE -Wl,-z,defs)
endif()
target_include_directories(critpath_shared SYSTEM PRIVATE $<TARGET_PROPERTY:critpath,INTERFACE_INCLUDE_DIRECTORIES>)
target_link_libraries(critpath_shared PRIVATE $<TARGET_PROPERTY:critpath,INTERFACE_LINK_LIBRARIES>)
