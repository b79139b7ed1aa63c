// SPDX-License-Identifier: Apache-2.0
// Which bytes of a block live when?
//
// An activation lives from its first write (the input: from the start of the forward pass) to its
// last read. The executor allocates and frees at the same points, so that its peak is this one to
// the byte. A block owns its input; its output is the next block's input. The gradient of the
// output is the block's own until its last read, the gradient of the input belongs to the block
// before once the backward pass is over.
#pragma once
#include <cstdint>
#include <vector>

#include "strategies/program/program.hpp"

namespace meshplan {

/// All in bytes on the device of one rank, unless said otherwise.
struct BlockMemory {
  int64_t parameters = 0;       ///< resident weights
  int64_t gradients = 0;        ///< resident gradients
  int64_t optimizer = 0;        ///< resident master weights and moments
  int64_t host = 0;             ///< of them on the host instead
  int64_t gathered = 0;         ///< whole weights while they are gathered (zero 3)
  int64_t whole_gradients = 0;  ///< whole gradients until they are reduced (zero 2, 3)
  int64_t placeholders = 0;     ///< one copy of each shape of a layer's weights, in their type
  int64_t saved = 0;            ///< from forward to backward, the input included
  int64_t forward_peak = 0;     ///< activations within the forward pass, saved included
  int64_t backward_peak = 0;    ///< within the backward pass, what is still saved included
  int64_t held = 0;             ///< from the backward pass to the weight-gradient pass
  int64_t weight_peak = 0;      ///< within the weight-gradient pass
  int64_t output = 0;           ///< of the output; of the head: of the 16-bit logits that exist at
                                ///< a time
  int64_t resident() const { return parameters + gradients + optimizer; }
};

BlockMemory memory_of(const Block& block);

/// When a buffer is allocated and freed: positions count the operations of forward, backward and
/// weight in one row; [first, last] inclusive; first = -1: before the forward pass.
struct LiveRange {
  int first = -2;  ///< -2: never used
  int last = -2;
};
/// Per buffer of class activation or input; others, and views, whose use is that of what they are
/// part of, stay at -2.
std::vector<LiveRange> live_ranges(const Block& block);

}  // namespace meshplan
