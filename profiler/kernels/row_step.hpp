// SPDX-License-Identifier: Apache-2.0
// How do the rows of a batch move once, by row-wise Adagrad? Right after the last chunk that
// touches them, while it lies in near caches; where chunks are run at once, those of several chunks
// at the end of the batch.
#pragma once
#include <algorithm>

#include "profiler/kernels/graph_rows.hpp"
#include "profiler/kernels/row_merge.hpp"

namespace meshplan::graph {

/// Rows: row(i) and sum(i) say where row i and its sum of squares are.
template <class Rows>
struct RowStep {
  const RowMerge& merge;
  const Rows& rows;
  int64_t cols;
  float rate, max_norm;  ///< see cpu::row_adagrad
  bool scaled;           ///< a gradient belongs to several rows, so it must stay as it is
  float* kept;           ///< [slots, cols]

  /// gradient [positions, cols] of chunk c; without `scaled`, equal rows are summed in place.
  /// scratch [cols].
  void chunk(int64_t c, float* gradient, float* scratch) const {
    const std::span<const RowMerge::Group> groups = merge.groups(c);
    for (size_t i = 0; i < groups.size(); ++i) {
      if (i + kAhead < groups.size()) {
        const RowMerge::Group& ahead = groups[i + kAhead];
        cpu::prefetch_row(ahead.slot < 0 ? rows.row(ahead.row) : kept + ahead.slot * cols, cols);
      }
      const RowMerge::Group& group = groups[i];
      const float* sum = scaled ? scaled_sum(group, gradient, scratch) : plain_sum(group, gradient);
      if (group.slot < 0) {
        step(group.row, sum);
        continue;
      }
      float* others = kept + group.slot * cols;
      if (!merge.in_order() || group.before < 0) {
        std::copy_n(sum, cols, others);
        continue;
      }
      cpu::add_row(cols, sum, others);
      if (group.next < 0) step(group.row, others);
    }
  }

  /// Entries [begin, end) of merge.rows(), after the last chunk; not with chunks in order.
  void shared(int64_t begin, int64_t end) const {
    const std::vector<int32_t>& all = merge.rows();
    for (int64_t r = begin; r < end; ++r) {
      const RowMerge::Group* group = &merge.group(all[static_cast<size_t>(r)]);
      if (group->next < 0) continue;
      cpu::prefetch_row(rows.row(group->row), cols);
      float* sum = kept + group->slot * cols;
      while (group->next >= 0) {
        group = &merge.group(group->next);
        if (group->next >= 0) cpu::prefetch_row(kept + merge.group(group->next).slot * cols, cols);
        cpu::add_row(cols, kept + group->slot * cols, sum);
      }
      step(group->row, sum);
    }
  }

 private:
  static constexpr size_t kAhead = 3;  // groups between the prefetch and the step

  void step(int32_t row, const float* g) const {
    cpu::row_adagrad(cols, g, rate, max_norm, rows.row(row), rows.sum(row));
  }
  const float* plain_sum(const RowMerge::Group& group, float* gradient) const {
    const RowMerge::Touch* touch = &merge.touch(group.first);
    float* sum = gradient + touch->position * cols;
    while (touch->next >= 0) {
      touch = &merge.touch(touch->next);
      cpu::add_row(cols, gradient + touch->position * cols, sum);
    }
    return sum;
  }
  const float* scaled_sum(const RowMerge::Group& group, const float* gradient,
                          float* scratch) const {
    std::fill_n(scratch, cols, 0.0F);
    for (int32_t i = group.first; i >= 0; i = merge.touch(i).next) {
      const RowMerge::Touch& touch = merge.touch(i);
      const float* g = gradient + touch.position * cols;
      for (int64_t c = 0; c < cols; ++c) scratch[c] += touch.scale * g[c];
    }
    return scratch;
  }
};

}  // namespace meshplan::graph
