// SPDX-License-Identifier: Apache-2.0
// Which gradients of a batch belong to the same row? They are summed, in the order of their
// positions, within a chunk first, and the row moves once. It can move as soon as all chunks are
// done that touch it: no other one of the batch reads it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace meshplan::graph {

class RowMerge {
 public:
  struct Touch {
    int32_t position, next;  ///< of the chunk's gradients; next touch of the group, -1: none
    float scale;
  };
  /// Touches of one row in one chunk.
  struct Group {
    int32_t row, first, last;  ///< first and last touch
    int32_t next;              ///< the row's group in a later chunk, -1: none
    int32_t slot;              ///< where its sum waits for those of other chunks, -1: no other
    int32_t before;            ///< the row's group in an earlier chunk, -1: none
  };

  /// Rows of the table that is met next; what was added is forgotten. in_order: chunks are run one
  /// after the other, so that all groups of a row have one slot.
  void begin(int64_t rows, bool in_order);
  bool in_order() const { return in_order_; }
  /// What is added from here on belongs to the next chunk.
  void next_chunk() { chunks_.push_back(static_cast<int32_t>(groups_.size())); }
  /// The gradient at `position`, times `scale`, belongs to `row`. Returns the group's number.
  int32_t add(int32_t row, int32_t position, float scale = 1) {
    const auto touch = static_cast<int32_t>(touches_.size());
    touches_.push_back({position, -1, scale});
    int32_t& head = head_[static_cast<size_t>(row)];
    if (head < chunks_.back()) return head = new_group(row, touch, head);
    Group& group = groups_[static_cast<size_t>(head)];
    touches_[static_cast<size_t>(group.last)].next = touch;
    group.last = touch;
    return head;
  }
  /// After the last touch, before the next table.
  void end();

  int64_t slots() const { return slots_; }
  /// Number of the chunk's first group; `chunk` may be the number of chunks.
  int64_t first_group(int64_t chunk) const {
    return chunk < static_cast<int64_t>(chunks_.size()) ? chunks_[static_cast<size_t>(chunk)]
                                                        : static_cast<int64_t>(groups_.size());
  }
  std::span<const Group> groups(int64_t chunk) const {
    return {groups_.data() + first_group(chunk), groups_.data() + first_group(chunk + 1)};
  }
  const Group& group(int64_t i) const { return groups_[static_cast<size_t>(i)]; }
  const Touch& touch(int32_t i) const { return touches_[static_cast<size_t>(i)]; }
  /// Every row's first group.
  const std::vector<int32_t>& rows() const { return rows_; }

 private:
  int32_t new_group(int32_t row, int32_t touch, int32_t before);

  std::vector<int32_t> head_;  ///< by row: its last group, -1 between batches
  std::vector<Touch> touches_;
  std::vector<Group> groups_;
  std::vector<int32_t> chunks_;  ///< first group
  std::vector<int32_t> rows_;
  int32_t slots_ = 0;
  bool in_order_ = false;
};

}  // namespace meshplan::graph
