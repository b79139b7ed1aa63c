// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/status.hpp"

#include <fmt/format.h>

namespace meshplan::cuda {

Status status_of(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return Done{};
  static_cast<void>(cudaGetLastError());  // else the next launch would be blamed
  const bool absent = error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver ||
                      error == cudaErrorStubLibrary || error == cudaErrorSystemDriverMismatch ||
                      error == cudaErrorNoKernelImageForDevice ||
                      error == cudaErrorInitializationError;
  return Diagnostic{.kind = absent ? ErrorKind::missing : ErrorKind::check,
                    .message = cudaGetErrorString(error),
                    .where = call,
                    .value = cudaGetErrorName(error)};
}

Status launched(const char* kernel) { return status_of(cudaPeekAtLastError(), kernel); }

Diagnostic refused(const char* kernel, const std::string& why) {
  return {.message = fmt::format("the CUDA kernel {} does not take this: {}", kernel, why),
          .rule = "cuda.arguments"};
}

Diagnostic refused_type(const char* kernel, DType type) {
  return refused(kernel, fmt::format("elements of {} bytes of type {}", bytes_of(type),
                                     static_cast<int>(type)));
}

}  // namespace meshplan::cuda
