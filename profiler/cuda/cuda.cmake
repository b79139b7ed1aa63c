# SPDX-License-Identifier: Apache-2.0
# CUDA, or nothing of it: sets cuda_found and removes from `sources` what can't be compiled.
# Libraries (cuBLASLt, cuDNN, NCCL) are loaded at run time: here only their headers are needed.
set(cuda_found OFF)
if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND)
  find_path(MESHPLAN_CUBLASLT_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_path(MESHPLAN_NCCL_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_path(MESHPLAN_CUDNN_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  # The header-only C++ layer over cuDNN's graphs; not in Debian: see examples/install_gpu.sh.
  find_path(MESHPLAN_CUDNN_FRONTEND_DIR cudnn_frontend.h
    HINTS ENV MESHPLAN_CUDNN_FRONTEND ${CMAKE_SOURCE_DIR}/build/cudnn-frontend/include)
  if(MESHPLAN_CUBLASLT_DIR AND MESHPLAN_NCCL_DIR)
    set(cuda_found ON)
  endif()
endif()
if(MESHPLAN_CUDA STREQUAL "ON" AND NOT cuda_found)
  message(FATAL_ERROR "CUDA not found: nvcc, the CUDA runtime 12.8 or later, cublasLt.h and nccl.h are needed")
endif()
set(MESHPLAN_HAS_CUDA ${cuda_found} CACHE INTERNAL "for the tests")
set(MESHPLAN_HAS_CUDNN OFF CACHE INTERNAL "for the tests")

if(NOT cuda_found)
  message(STATUS "CUDA is left out: MESHPLAN_CUDA is ${MESHPLAN_CUDA}; it takes nvcc, the runtime 12.8 or later, cublasLt.h, nccl.h")
  list(FILTER sources EXCLUDE REGEX "/cuda/.*\\.cpp$")
  list(APPEND sources ${CMAKE_CURRENT_SOURCE_DIR}/cuda/absent.cpp)
  return()
endif()
list(FILTER sources EXCLUDE REGEX "/cuda/absent\\.cpp$")
if(MESHPLAN_CUDNN_DIR AND MESHPLAN_CUDNN_FRONTEND_DIR)
  set(MESHPLAN_HAS_CUDNN ON CACHE INTERNAL "for the tests")
  list(FILTER sources EXCLUDE REGEX "/cuda/attention_absent\\.cpp$")
  set_source_files_properties(cuda/attention_cudnn.cpp PROPERTIES COMPILE_OPTIONS
    "-isystem${MESHPLAN_CUDNN_FRONTEND_DIR};-isystem${MESHPLAN_CUDNN_DIR};-O1;-Wno-error")
else()
  list(FILTER sources EXCLUDE REGEX "/cuda/attention_cudnn\\.cpp$")
  message(STATUS "attention by cuDNN is left out: cudnn.h or cudnn_frontend.h not found (examples/install_gpu.sh)")
endif()

# a: the features of that chip alone, so that no slower variant is taken in silence.
# The test cuda.kernels compiles them for all of 80, 90a and 100.
set(MESHPLAN_CUDA_ARCHITECTURES 90a CACHE STRING "compute capabilities of the kernels: 80, 90a, 100")
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cu)
add_library(cuda_kernels OBJECT ${cuda_sources})
set_target_properties(cuda_kernels PROPERTIES CUDA_ARCHITECTURES OFF)
target_include_directories(cuda_kernels PRIVATE ${CMAKE_SOURCE_DIR})
set(kernel_gencode "")
foreach(arch ${MESHPLAN_CUDA_ARCHITECTURES})
  list(APPEND kernel_gencode "-gencode=arch=compute_${arch},code=sm_${arch}")
endforeach()
# A kernel that spills registers or takes local memory does not build.
set(MESHPLAN_SPILL_FLAGS "-Xptxas=-warn-spills,-warn-lmem-usage,-Werror" CACHE INTERNAL "for the tests")
# constexpr functions (draws of profiler/kernels/graph_random.hpp) are the device's as well
target_compile_options(cuda_kernels PRIVATE ${kernel_gencode} ${MESHPLAN_SPILL_FLAGS} --expt-relaxed-constexpr
  "--compiler-options=-Wall,-Wextra")
