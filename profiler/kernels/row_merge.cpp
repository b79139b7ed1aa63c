// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/row_merge.hpp"

namespace meshplan::graph {

void RowMerge::begin(int64_t rows, bool in_order) {
  in_order_ = in_order;
  if (static_cast<int64_t>(head_.size()) < rows) head_.resize(static_cast<size_t>(rows), -1);
  touches_.clear();
  groups_.clear();
  chunks_.clear();
  rows_.clear();
  slots_ = 0;
}

int32_t RowMerge::new_group(int32_t row, int32_t touch, int32_t before) {
  const auto number = static_cast<int32_t>(groups_.size());
  Group group{row, touch, touch, -1, -1, before};
  if (before < 0) {
    rows_.push_back(number);
  } else {
    Group& last = groups_[static_cast<size_t>(before)];
    last.next = number;
    if (last.slot < 0) last.slot = slots_++;
    group.slot = in_order_ ? last.slot : slots_++;
  }
  groups_.push_back(group);
  return number;
}

void RowMerge::end() {
  for (const Group& group : groups_) head_[static_cast<size_t>(group.row)] = -1;
}

}  // namespace meshplan::graph
