// SPDX-License-Identifier: Apache-2.0
// AdamW on the GPU: formula of profiler/kernels/optimizer.hpp, with fp32 master weights and moments
// and a copy of the weights in the compute type, in one pass. Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"
#include "profiler/kernels/optimizer.hpp"

namespace meshplan::cuda {

/// Step number `step` = 1, 2, ... on [count] elements: gradient in bf16 or fp32; master, first,
/// second in fp32; weight (bf16 or fp32, rounded from the master) may be the master itself.
Status adamw_step(cudaStream_t stream, const cpu::AdamW& adamw, int64_t step,
                  double gradient_factor, int64_t count, DType gradient_type, const void* gradient,
                  float* master, float* first, float* second, DType weight_type, void* weight);

}  // namespace meshplan::cuda
