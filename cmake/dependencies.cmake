# One target atoll_<library> for each third-party library. All but FAISS come from the system as they are.
find_package(Threads REQUIRED)

# Define a target from a library's name, a header it must have, and the Debian package that brings both.
function(atoll_dependency name library header package)
  find_library(ATOLL_${name}_LIBRARY NAMES ${library})
  find_path(ATOLL_${name}_INCLUDE NAMES ${header})
  mark_as_advanced(ATOLL_${name}_LIBRARY ATOLL_${name}_INCLUDE)
  if(NOT ATOLL_${name}_LIBRARY OR NOT ATOLL_${name}_INCLUDE)
    message(FATAL_ERROR "lib${library} or ${header} is missing. On Debian: apt-get install ${package}")
  endif()
  add_library(atoll_${name} INTERFACE)
  target_link_libraries(atoll_${name} INTERFACE ${ATOLL_${name}_LIBRARY})
  target_include_directories(atoll_${name} SYSTEM INTERFACE ${ATOLL_${name}_INCLUDE})
endfunction()

atoll_dependency(lmdb lmdb lmdb.h liblmdb-dev)
atoll_dependency(microhttpd microhttpd microhttpd.h libmicrohttpd-dev)
atoll_dependency(openblas openblas cblas.h libopenblas-serial-dev)
atoll_dependency(utf8proc utf8proc utf8proc.h libutf8proc-dev)
atoll_dependency(xxhash xxhash xxhash.h libxxhash-dev)
atoll_dependency(simdjson simdjson simdjson.h libsimdjson-dev)
atoll_dependency(curl curl curl/curl.h libcurl4-openssl-dev)
if(ATOLL_TESTS)
  atoll_dependency(cmocka cmocka cmocka.h libcmocka-dev)
endif()

# FAISS: a folder that was named, else the cached build for this processor, else, where faiss.sh names none, the
# system's.
set(faiss_dir "${ATOLL_FAISS_DIR}")
if(NOT faiss_dir)
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/faiss.sh
    OUTPUT_VARIABLE faiss_dir OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE faiss_status)
  if(NOT faiss_status EQUAL 0)
    message(FATAL_ERROR "FAISS could not be built; ATOLL_FAISS_VARIANT=packaged takes the system's.")
  endif()
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)
if(faiss_dir)
  message(STATUS "FAISS: ${faiss_dir}")
  add_library(faiss_archive STATIC IMPORTED)
  set_target_properties(faiss_archive PROPERTIES
    IMPORTED_LOCATION ${faiss_dir}/lib/libfaiss.a IMPORTED_LINK_INTERFACE_LANGUAGES CXX)
  add_library(atoll_faiss INTERFACE)
  target_link_libraries(atoll_faiss INTERFACE faiss_archive)
  target_include_directories(atoll_faiss SYSTEM INTERFACE ${faiss_dir}/include)
else()
  atoll_dependency(faiss faiss faiss/IndexIVFPQ.h libfaiss-dev)
  message(STATUS "FAISS: ${ATOLL_faiss_LIBRARY}")
endif()
target_link_libraries(atoll_faiss INTERFACE atoll_openblas ${OpenMP_CXX_LIBRARIES})
