// SPDX-License-Identifier: Apache-2.0
// Kernels behind collectives: sums over the buffers of ranks that share a GPU, and a stand-in for a
// collective that can't be carried out. Errors as in elementwise.hpp.
#pragma once
#include <span>

#include "profiler/comm/communicator.hpp"
#include "profiler/cuda/status.hpp"

namespace meshplan::cuda {

constexpr size_t kMostSources = 64;

/// out[i] = ((source 0 op source 1) op source 2) ..., i < count, as the communicators on the CPU do
/// it: fp32 and fp64 in their own type, bf16 summed in fp32 and rounded once. `out` may be one of
/// the sources. Error: no source or more than kMostSources, Element::byte.
Status reduce_in_order(cudaStream_t stream, Element element, ReduceOp op,
                       std::span<const void* const> sources, int64_t count, void* out);

/// Occupies `blocks` blocks of 512 threads for `seconds` by the GPU's clock, reading and writing
/// `bytes` of `buffer` (at least 16, a multiple of 16; 16-byte aligned; contents are kept) again
/// and again at about the rate that a collective of that time would: the interference is there, the
/// peers are not.
Status stand_in(cudaStream_t stream, int blocks, double seconds, void* buffer, int64_t bytes);

}  // namespace meshplan::cuda
