// SPDX-License-Identifier: Apache-2.0
// A build without CUDA.
#include "validate/execute/cuda_device.hpp"

namespace meshplan {

Result<std::unique_ptr<Device>> make_cuda_device(CUstream_st*, const CudaDeviceOptions&) {
  return Diagnostic{.kind = ErrorKind::missing, .message = "this build has no CUDA"};
}

}  // namespace meshplan
