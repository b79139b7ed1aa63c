// SPDX-License-Identifier: Apache-2.0
// A build without cuDNN or cudnn-frontend.
#include "profiler/cuda/attention.hpp"

namespace meshplan::cuda {
namespace {
Diagnostic absent() {
  return {.kind = ErrorKind::missing,
          .message = "this build has no cuDNN attention",
          .hint = "cudnn.h, and the headers that examples/install_gpu.sh fetches"};
}
}  // namespace

Result<std::unique_ptr<CudnnAttention>> CudnnAttention::make() { return absent(); }
Result<int64_t> attention_engines(const GraphQuestion&, const DescribedGpu&) { return absent(); }

}  // namespace meshplan::cuda
