// SPDX-License-Identifier: Apache-2.0
// Which entities of a type are in memory, and where are their rows? Those of the partitions that a
// rank holds, numbered one partition after the other: their places. Negatives come from all of
// them.
#pragma once
#include <algorithm>
#include <vector>

#include "validate/embedding/graph.hpp"
#include "validate/embedding/table.hpp"

namespace meshplan::graph {

class LoadedRows {
 public:
  /// The next partition, in the order of their entities: `count` of them from index `first` on.
  void add(Table& table, int64_t first, int64_t count) {
    parts_.push_back({&table, first, count_});
    count_ += count;
  }
  /// Of a featurised type: the table holds a row per feature, an entity's place is its index.
  void set_features(const Features& features) { features_ = &features; }
  const Features* features() const { return features_; }

  int64_t count() const { return count_; }  ///< entities
  int64_t rows() const { return features_ == nullptr ? count_ : features_->count; }

  int32_t place_of(int32_t entity) const {
    const Part& part = last_with(&Part::first, entity);
    return static_cast<int32_t>(entity - part.first + part.place);
  }
  float* row(int64_t place) const {
    const Part& part = last_with(&Part::place, place);
    return part.table->values() + (place - part.place) * part.table->cols;
  }
  float* sum(int64_t place) const {
    const Part& part = last_with(&Part::place, place);
    return part.table->sums() + (place - part.place);
  }

  struct Part {
    Table* table;
    int64_t first, place;  ///< of its first entity: index and place
  };
  const std::vector<Part>& parts() const { return parts_; }

 private:
  /// Partitions are few: the last that begins at `value` or before.
  const Part& last_with(int64_t Part::*begin, int64_t value) const {
    size_t at = parts_.size() - 1;
    while (parts_[at].*begin > value) --at;
    return parts_[at];
  }

  std::vector<Part> parts_;
  int64_t count_ = 0;
  const Features* features_ = nullptr;
};

}  // namespace meshplan::graph
