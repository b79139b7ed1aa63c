// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/table.hpp"

#include <sys/mman.h>

#include <cmath>
#include <new>

#include "profiler/kernels/graph_operator.hpp"
#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/workers.hpp"

namespace meshplan::graph {

FloatPages::FloatPages(int64_t count) : size_(count) {
  if (count == 0) return;
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  ::madvise(data, bytes, MADV_HUGEPAGE);
  data_ = {static_cast<float*>(data), UnmapPages(bytes)};
}

void UnmapPages::operator()(float* data) const { ::munmap(data, bytes); }

void initialise(Table& table, int type, int64_t first_index, double scale, double max_norm,
                uint64_t seed, int threads) {
  const uint64_t key = combine(seed, 0x7461626C65ULL + static_cast<uint64_t>(type));
  cpu::Workers workers(threads);
  workers.split(table.rows, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = table.values() + i * table.cols;
      double square = 0;
      for (int64_t c = 0; c < table.cols; ++c) {
        const auto at = static_cast<uint64_t>((first_index + i) * table.cols + c);
        row[c] = static_cast<float>(scale) * normal(key, at);
        square += static_cast<double>(row[c]) * static_cast<double>(row[c]);
      }
      const double norm = std::sqrt(square);
      if (max_norm > 0 && norm > max_norm)
        for (int64_t c = 0; c < table.cols; ++c) row[c] *= static_cast<float>(max_norm / norm);
    }
  });
}

std::vector<ParameterTable*> SharedParameters::all() {
  std::vector<ParameterTable*> out;
  for (auto* tables : {&rhs, &lhs, &global})
    for (ParameterTable& table : *tables) out.push_back(&table);
  return out;
}

std::vector<const ParameterTable*> SharedParameters::all() const {
  std::vector<const ParameterTable*> out;
  for (const auto* tables : {&rhs, &lhs, &global})
    for (const ParameterTable& table : *tables) out.push_back(&table);
  return out;
}

SharedParameters initial_parameters(const Workload& w, uint64_t seed) {
  SharedParameters out;
  uint64_t stream = 0x6F70657261746FULL;
  const auto operators = [&](const RelationType& relation) {
    ParameterTable table(w.dynamic_relations ? w.dynamic_count : 1,
                         parameters_of(relation.op, w.dimension));
    const uint64_t key = combine(seed, stream++);
    const auto scale = static_cast<float>(w.operator_init_scale);
    for (size_t i = 0; scale > 0 && i < table.values.size(); ++i)
      table.values[i] = scale * normal(key, i);
    for (int64_t i = 0; scale == 0 && table.cols > 0 && i < table.rows; ++i)
      cpu::identity_operator(relation.op, w.dimension, table.row(i));
    return table;
  };
  for (const RelationType& relation : w.relations) {
    out.rhs.push_back(operators(relation));
    if (w.dynamic_relations) out.lhs.push_back(operators(relation));
  }
  if (w.global_embedding)
    for (size_t t = 0; t < w.entities.size(); ++t) out.global.emplace_back(1, w.dimension);
  return out;
}

}  // namespace meshplan::graph
