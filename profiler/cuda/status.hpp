// SPDX-License-Identifier: Apache-2.0
// What went wrong in a call of CUDA? Every call of the runtime goes through here.
//
// Errors of kind `missing` say that there is no usable GPU, driver or library; all others are
// faults of the run. A kernel reports the error of its launch; a fault while it runs shows up in
// the next call that waits for the stream.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

#include "topologies/base/dtype.hpp"
#include "topologies/base/result.hpp"

namespace meshplan::cuda {

/// Done, or the runtime's words for `error` with the call that met it.
Status status_of(cudaError_t error, const char* call);

/// After a launch: the error of its configuration.
Status launched(const char* kernel);

/// `kernel` does not take these arguments: why.
Diagnostic refused(const char* kernel, const std::string& why);
Diagnostic refused_type(const char* kernel, DType type);

}  // namespace meshplan::cuda

#define MESHPLAN_CUDA(call) MESHPLAN_CHECK(::meshplan::cuda::status_of((call), #call))
