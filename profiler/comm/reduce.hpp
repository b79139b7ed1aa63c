// SPDX-License-Identifier: Apache-2.0
// Sums and maxima of the ranks' buffers in rank order: the arithmetic of every back end.
#pragma once
#include <functional>
#include <span>

#include "profiler/comm/communicator.hpp"

namespace meshplan {

/// Calls emit(result, offset, bytes) for consecutive pieces of the reduction over the sources'
/// bytes [begin, end): result = ((source 0 op source 1) op source 2) ... Sources are read before
/// emit is called for that piece, which may therefore overwrite them.
void reduce_in_order(Element element, ReduceOp op, std::span<const void* const> sources,
                     int64_t begin, int64_t end,
                     const std::function<void(const void*, int64_t, int64_t)>& emit);

/// First byte of part `part` when `bytes` bytes of elements are cut into `parts` parts.
int64_t part_begin(int64_t bytes, Element element, int part, int parts);

}  // namespace meshplan
