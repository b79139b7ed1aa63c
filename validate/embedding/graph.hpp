// SPDX-License-Identifier: Apache-2.0
// Which edges are there, between which entities? A graph in memory, its edges grouped by bucket.
//
// An entity's index is its place after a seeded shuffle of its type, so that consecutive ranges are
// random subsets: partition p of P holds the indices [first_of(p), first_of(p + 1)). Bucket (i, j)
// holds the edges from partition i to partition j.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "strategies/embedding/workload.hpp"

namespace meshplan::graph {

/// First index of partition `part` of `parts` of `count` entities; sizes differ by at most one.
constexpr int64_t first_of(int64_t part, int64_t parts, int64_t count) {
  return count * part / parts;
}
/// Partition that an index is in.
int32_t part_of(int64_t index, int64_t parts, int64_t count);

struct Edges {
  std::vector<int32_t> lhs, relation, rhs;
  std::vector<float> weight;  ///< empty: all 1
  int64_t size() const { return static_cast<int64_t>(lhs.size()); }
  int64_t bytes() const { return 12 * size() + 4 * static_cast<int64_t>(weight.size()); }
  /// Edge i is read soon.
  void prefetch(int64_t i) const {
    for (const auto* values : {&lhs, &relation, &rhs}) __builtin_prefetch(values->data() + i);
  }
};

/// Names by index; the text belongs to it.
class Names {
 public:
  Names() = default;
  explicit Names(const std::vector<std::string_view>& by_index);
  int64_t size() const { return begin_.empty() ? 0 : static_cast<int64_t>(begin_.size()) - 1; }
  std::string_view operator[](int64_t index) const;
  int64_t bytes() const { return static_cast<int64_t>(text_.size() + begin_.size() * 8); }

 private:
  std::string text_;
  std::vector<int64_t> begin_;
};

/// The features of every entity of a featurised type, rows [begin[i], begin[i+1]).
struct Features {
  std::vector<int64_t> begin;
  std::vector<int32_t> rows;
  int64_t count = 0;  ///< distinct features: rows of the table
};

struct Graph {
  std::vector<Names> entities;     ///< by type
  std::vector<Features> features;  ///< by type; empty where a type has none
  Names relations;
  Edges train, valid, test;

  int64_t count(int type) const { return entities[static_cast<size_t>(type)].size(); }
  /// Rows that the table of a type has.
  int64_t rows(int type) const {
    const Features& f = features[static_cast<size_t>(type)];
    return f.count > 0 ? f.count : count(type);
  }
};

/// Edges in the order of their buckets, and inside a bucket, of their relations if they are not
/// dynamic.
struct Buckets {
  int64_t lhs_parts = 1, rhs_parts = 1;
  Edges edges;
  std::vector<int64_t> begin;  ///< [lhs_parts * rhs_parts + 1]
  int64_t first(int64_t i, int64_t j) const {
    return begin[static_cast<size_t>(i * rhs_parts + j)];
  }
  int64_t end(int64_t i, int64_t j) const {
    return begin[static_cast<size_t>(i * rhs_parts + j) + 1];
  }
};

/// Partitions of each side: 1 where all of its types are unpartitioned. `parts` by type.
Buckets into_buckets(const Workload& workload, const Graph& graph, Edges edges,
                     const std::vector<int64_t>& parts);

}  // namespace meshplan::graph
