// SPDX-License-Identifier: Apache-2.0
// A GPU as the device of a rank: cuBLASLt, cuDNN and the kernels of profiler/cuda, in bf16 or fp32,
// sums in fp32. What repeats from step to step without communication is recorded as a CUDA graph
// in the second step. In a build without CUDA the function is there and says so (cuda_absent.cpp).
//
// Not run on a GPU yet: see validate/README.md.
#pragma once
#include "strategies/program/program.hpp"
#include "validate/execute/device.hpp"

struct CUstream_st;

namespace meshplan {

struct CudaDeviceOptions {
  bool graphs = true;
  bool deterministic = false;  ///< attention's backward pass gives the same bits every time
};

/// Of the calling thread's GPU. Kernels go to `stream`, which outlives the device.
/// Error (missing): no CUDA, no cuBLASLt.
Result<std::unique_ptr<Device>> make_cuda_device(CUstream_st* stream,
                                                 const CudaDeviceOptions& options);

}  // namespace meshplan
