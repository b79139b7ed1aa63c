// SPDX-License-Identifier: Apache-2.0
// Rows of embeddings with what their optimizer remembers.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "strategies/embedding/workload.hpp"

namespace meshplan::graph {

/// fp32 memory on pages of its own, large ones where the system has them; zeros at first.
struct UnmapPages {
  size_t bytes;
  explicit UnmapPages(size_t size = 0) : bytes(size) {}
  void operator()(float* data) const;
};

class FloatPages {
 public:
  FloatPages() = default;
  explicit FloatPages(int64_t count);
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  std::unique_ptr<float, UnmapPages> data_;
  int64_t size_ = 0;
};

/// One partition of an entity type in memory: values [rows, cols], then a sum per row.
struct Table {
  int64_t rows = 0, cols = 0;
  FloatPages memory;

  Table() = default;
  Table(int64_t row_count, int64_t columns)
      : rows(row_count), cols(columns), memory(row_count * (columns + 1)) {}
  float* values() { return memory.data(); }
  const float* values() const { return memory.data(); }
  float* sums() { return memory.data() + rows * cols; }
  const float* sums() const { return memory.data() + rows * cols; }
  int64_t bytes() const { return memory.size() * 4; }
};

/// Normal deviates times `scale`; a row depends on seed, type and index only, not on the partition.
void initialise(Table& table, int type, int64_t first_index, double scale, double max_norm,
                uint64_t seed, int threads);

/// Operators and global vectors: few, shared by all, an Adagrad sum per value.
struct ParameterTable {
  int64_t rows = 0, cols = 0;
  std::vector<float> values, sums;
  ParameterTable() = default;
  ParameterTable(int64_t row_count, int64_t columns)
      : rows(row_count),
        cols(columns),
        values(static_cast<size_t>(row_count * columns)),
        sums(static_cast<size_t>(row_count * columns)) {}
  float* row(int64_t i) { return values.data() + i * cols; }
  const float* row(int64_t i) const { return values.data() + i * cols; }
};

struct SharedParameters {
  std::vector<ParameterTable> rhs;     ///< operators, by relation type; a row per dynamic relation
  std::vector<ParameterTable> lhs;     ///< the other side's, with dynamic relations; else empty
  std::vector<ParameterTable> global;  ///< by entity type; empty without global embeddings

  /// Every table, in a fixed order.
  std::vector<ParameterTable*> all();
  std::vector<const ParameterTable*> all() const;
};

/// Operators: identities, or normal deviates times the workload's operator_init_scale; zero global
/// vectors.
SharedParameters initial_parameters(const Workload& workload, uint64_t seed);

}  // namespace meshplan::graph
