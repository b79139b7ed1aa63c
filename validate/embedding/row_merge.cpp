// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/row_merge.hpp"

namespace meshplan::graph {

void RowMerge::begin(int64_t rows) {
  if (static_cast<int64_t>(head_.size()) < rows) head_.resize(static_cast<size_t>(rows), -1);
  touches_.clear();
  rows_.clear();
}

void RowMerge::group() {
  // Last first and pushed in front: every chain runs in the order of the positions.
  for (auto i = static_cast<int32_t>(touches_.size()); i-- > 0;) {
    Touch& touch = touches_[static_cast<size_t>(i)];
    int32_t& head = head_[static_cast<size_t>(touch.row)];
    if (head < 0) {
      head = static_cast<int32_t>(rows_.size());
      rows_.push_back({touch.row, i});
    } else {
      Row& row = rows_[static_cast<size_t>(head)];
      touch.next = row.first;
      row.first = i;
    }
  }
  for (const Row& row : rows_) head_[static_cast<size_t>(row.row)] = -1;
}

}  // namespace meshplan::graph
