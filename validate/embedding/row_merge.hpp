// SPDX-License-Identifier: Apache-2.0
// Which gradients of a batch belong to the same row? Gradients of equal rows are summed, in the
// order of their positions, before the row moves once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace meshplan::graph {

class RowMerge {
 public:
  /// Rows of the table that is met next; what was added is forgotten.
  void begin(int64_t rows);

  /// The gradient at `position`, times `scale`, belongs to `row`.
  void add(int32_t row, int32_t position, float scale = 1) {
    touches_.push_back({row, position, -1, scale});
  }

  /// Groups what was added; call once, then read rows() and the chains.
  void group();

  struct Touch {
    int32_t row, position, next;
    float scale;
  };
  struct Row {
    int32_t row, first;  ///< first touch, the others follow by `next`
  };
  const std::vector<Row>& rows() const { return rows_; }
  const Touch& touch(int32_t i) const { return touches_[static_cast<size_t>(i)]; }

 private:
  std::vector<int32_t> head_;  ///< by row: index into rows_, -1 between batches
  std::vector<Touch> touches_;
  std::vector<Row> rows_;
};

}  // namespace meshplan::graph
