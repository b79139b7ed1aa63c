// SPDX-License-Identifier: Apache-2.0
// What the kernels of one rank on a GPU need besides their operands: libraries with their
// workspaces, scratch, copies of the host's tables, and sums that are read once a step.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "profiler/cuda/attention.hpp"
#include "profiler/cuda/gemm.hpp"
#include "validate/execute/cuda_device.hpp"

namespace meshplan {

class CudaKernels {
 public:
  static Result<std::unique_ptr<CudaKernels>> make(cudaStream_t stream,
                                                   const CudaDeviceOptions& options);

  cudaStream_t stream = nullptr;
  CudaDeviceOptions options;
  std::unique_ptr<cuda::Products> products;
  std::unique_ptr<cuda::CudnnAttention> cudnn;  ///< null: plain kernels
  std::string cudnn_absent;                     ///< why

  /// Valid until the next call with this slot; grows, then stays.
  Result<std::byte*> scratch(int slot, int64_t bytes);
  /// Two numbers on the GPU that belong to the 8-bit tensor which begins there: its scale, and room
  /// for to_fp8.
  Result<float*> scale_of(const void* tensor);
  /// A copy on the GPU of a table that the host keeps unchanged for the run.
  Result<const int32_t*> table(const std::vector<int32_t>& host);
  Result<const float*> table(const float* host, int64_t count);

  /// A number on the GPU that is added to the loss (copies 0) or, divided by `copies`, to the
  /// squared norm when sums are taken.
  struct Sum {
    int copies = 0;
  };
  /// Where a kernel puts its number.
  Result<double*> sum_slot(Sum sum);
  Result<StepSums> take_sums();
  std::vector<Sum>& sums() { return sums_; }

 private:
  CudaKernels() = default;
  Result<const void*> copied(const void* host, int64_t bytes);

  std::array<cuda::DeviceMemory, kScratchSlots + 1> scratch_;  ///< the last: occupy()
  std::map<const void*, cuda::DeviceMemory> tables_;
  cuda::DeviceMemory slots_, scales_;
  std::map<const void*, size_t> scale_slots_;
  std::vector<Sum> sums_;  ///< by slot, since they were last taken
};

}  // namespace meshplan
