// SPDX-License-Identifier: Apache-2.0
// Which elements of which whole tensors lie where in a rank's flats?
//
// The one map between a rank's memory and HF's tensors: initial weights, weight decay, the global
// gradient norm, comparison with one rank and checkpoints all go through it.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "strategies/program/program.hpp"
#include "validate/execute/rank_place.hpp"

namespace meshplan {

/// A rectangle of a whole tensor that lies row after row in a flat.
struct TensorPart {
  std::string tensor;  ///< "model.layers.3.self_attn.q_proj.weight"
  int64_t tensor_rows = 0, tensor_cols = 0;
  int64_t first_row = 0, first_col = 0;  ///< of the whole tensor
  int64_t rows = 0, cols = 0;            ///< without vocabulary padding
  int64_t flat_offset = 0;               ///< elements
  bool decay = false;
  int copies = 1;  ///< ranks of the world that hold each element's gradient shard
};

/// Parts of block.states[flat] on this rank, for layer `layer` of the model (-1: an end).
std::vector<TensorPart> parts_of(const Program& program, const Block& block, size_t flat,
                                 const RankPlace& place, int layer);

/// Range of the flat that this rank's shard covers.
struct FlatRange {
  int64_t begin = 0, count = 0;
};
FlatRange own_range(const FlatState& flat, const RankPlace& place);

/// Calls run(element, offset, count) for the runs of the part inside the range: `element` counts in
/// the whole tensor row by row, `offset` from the start of the range.
template <class Run>
void for_each_run(const TensorPart& part, const FlatRange& range, const Run& run) {
  const bool whole_rows = part.cols == part.tensor_cols;
  const int64_t rows = whole_rows ? std::min<int64_t>(part.rows, 1) : part.rows;
  const int64_t length = whole_rows ? part.rows * part.cols : part.cols;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = part.flat_offset + r * part.cols;
    const int64_t begin = std::max(at, range.begin);
    const int64_t end = std::min(at + length, range.begin + range.count);
    if (begin >= end) continue;
    run((part.first_row + r) * part.tensor_cols + part.first_col + begin - at, begin - range.begin,
        end - begin);
  }
}

}  // namespace meshplan
