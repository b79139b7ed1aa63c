// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/cuda_kernels.hpp"

namespace meshplan {

namespace {
constexpr size_t kSlots = 1 << 16;
}

Result<std::unique_ptr<CudaKernels>> CudaKernels::make(cudaStream_t stream,
                                                       const CudaDeviceOptions& options) {
  std::unique_ptr<CudaKernels> made(new CudaKernels);
  made->stream = stream;
  made->options = options;
  MESHPLAN_TRY(made->products, cuda::Products::make());
  Result<std::unique_ptr<cuda::CudnnAttention>> cudnn = cuda::CudnnAttention::make();
  if (cudnn.ok()) {
    made->cudnn = std::move(cudnn).value();
  } else {
    made->cudnn_absent = cudnn.error().message;
  }
  MESHPLAN_TRY(made->slots_, cuda::DeviceMemory::make(kSlots * sizeof(double)));
  return made;
}

Result<std::byte*> CudaKernels::scratch(int slot, int64_t bytes) {
  cuda::DeviceMemory& memory = scratch_[static_cast<size_t>(slot)];
  if (memory.bytes() < bytes) {
    MESHPLAN_CUDA(cudaStreamSynchronize(stream));  // the old one may still be in use
    MESHPLAN_TRY(memory, cuda::DeviceMemory::make(bytes));
  }
  return memory.as<std::byte>();
}

Result<float*> CudaKernels::scale_of(const void* tensor) {
  constexpr size_t kScales = 1 << 16;
  constexpr size_t kScaleStride = 4;  // products take scales at 16 bytes
  if (scales_.bytes() == 0) {
    MESHPLAN_TRY(scales_, cuda::DeviceMemory::make(kScales * kScaleStride * sizeof(float)));
  }
  const size_t slot = scale_slots_.emplace(tensor, scale_slots_.size()).first->second;
  if (slot < kScales) return scales_.as<float>() + kScaleStride * slot;
  return Diagnostic{.message = "more 8-bit tensors in a step than there is room for",
                    .rule = "executor.scales"};
}

Result<const void*> CudaKernels::copied(const void* host, int64_t bytes) {
  const auto found = tables_.find(host);
  if (found != tables_.end()) return found->second.get();
  MESHPLAN_TRY(cuda::DeviceMemory memory, cuda::DeviceMemory::make(bytes));
  MESHPLAN_CUDA(cudaMemcpy(memory.get(), host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice));
  return (tables_[host] = std::move(memory)).get();
}

Result<const int32_t*> CudaKernels::table(const std::vector<int32_t>& host) {
  MESHPLAN_TRY(const void* const data,
               copied(host.data(), static_cast<int64_t>(host.size() * sizeof(int32_t))));
  return static_cast<const int32_t*>(data);
}

Result<const float*> CudaKernels::table(const float* host, int64_t count) {
  MESHPLAN_TRY(const void* const data, copied(host, count * static_cast<int64_t>(sizeof(float))));
  return static_cast<const float*>(data);
}

Result<double*> CudaKernels::sum_slot(Sum sum) {
  if (sums_.size() == kSlots) {
    return Diagnostic{.message = "more losses and norms in a step than there is room for",
                      .rule = "executor.sums"};
  }
  sums_.push_back(sum);
  return slots_.as<double>() + sums_.size() - 1;
}

Result<StepSums> CudaKernels::take_sums() {
  std::vector<double> values(sums_.size());
  MESHPLAN_CUDA(cudaMemcpyAsync(values.data(), slots_.get(), values.size() * sizeof(double),
                                cudaMemcpyDeviceToHost, stream));
  MESHPLAN_CUDA(cudaStreamSynchronize(stream));
  StepSums out;
  for (size_t i = 0; i < values.size(); ++i) {
    if (sums_[i].copies == 0) {
      out.loss += values[i];
    } else {
      out.squared_norm += values[i] / sums_[i].copies;
    }
  }
  sums_.clear();
  return out;
}

}  // namespace meshplan
