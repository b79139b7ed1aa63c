// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/graph_bench.hpp"

#include <filesystem>

#include "profiler/kernels/graph_rows.hpp"
#include "profiler/storage/row_file.hpp"

namespace meshplan {
namespace {

constexpr int64_t kTableValues = int64_t{1} << 23;  // beyond the caches, as partitions are
constexpr int64_t kRelations = 200;

void fill(std::vector<float>& values, int64_t count) {
  values.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 97) * 1e-3F;
}

void draw(std::vector<int32_t>& ids, int64_t count, int64_t rows, uint64_t seed) {
  ids.resize(static_cast<size_t>(count));
  uint64_t state = seed;
  for (int32_t& id : ids) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(rows));
  }
}

}  // namespace

GraphBench::GraphBench(const std::string& folder, const std::string& name)
    : path_(folder + "/meshplan-profile-" + name) {}

GraphBench::~GraphBench() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void GraphBench::step(const std::vector<int32_t>& ids, const std::vector<float>& gradient) {
  for (size_t i = 0; i < ids.size(); ++i)
    cpu::row_adagrad(cols_, gradient.data() + static_cast<int64_t>(i) * cols_, 0.01F, 0,
                     table_.data() + ids[i] * cols_, sums_.data() + ids[i]);
}

std::function<Status()> GraphBench::bucket(int64_t edges, int64_t candidates, int64_t cols) {
  cols_ = cols;
  const int64_t rows = kTableValues / cols;
  fill(table_, rows * cols);
  fill(sums_, rows);
  fill(operators_, kRelations * cols);
  for (auto* values : {&x_, &y_, &dx_, &dy_}) fill(*values, candidates * cols);
  for (auto* values : {&drhs_, &dlhs_}) fill(*values, edges * cols);
  draw(lhs_, candidates, rows, 1);
  draw(rhs_, candidates, rows, 2);
  draw(relations_, edges, kRelations, 3);
  const cpu::ChunkModel model{
      .op = graph::Operator::complex_diagonal, .cols = cols, .dynamic = true};
  return [=, this]() -> Status {
    cpu::gather_rows(table_.data(), cols, lhs_.data(), candidates, nullptr, x_.data());
    cpu::gather_rows(table_.data(), cols, rhs_.data(), candidates, nullptr, y_.data());
    cpu::Chunk chunk;
    chunk.edges = edges;
    chunk.lhs = chunk.rhs = candidates;
    chunk.x = x_.data();
    chunk.y = y_.data();
    chunk.rhs_params = chunk.lhs_params = operators_.data();
    chunk.relations = relations_.data();
    cpu::chunk_gradient(model, chunk, space_, {dx_.data(), dy_.data(), drhs_.data(), dlhs_.data()});
    step(lhs_, dx_);
    step(rhs_, dy_);
    return Done{};
  };
}

std::function<Status()> GraphBench::store(int64_t bytes) {
  fill(partition_, bytes / 4);
  return [this]() -> Status {
    const auto count = static_cast<int64_t>(partition_.size());
    return graph::write_floats(path_, count, 1, {{partition_.data(), count}});
  };
}

std::function<Status()> GraphBench::load(int64_t bytes) {
  const Status written = store(bytes)();
  return [this, written]() -> Status {
    MESHPLAN_CHECK(written);
    const auto count = static_cast<int64_t>(partition_.size());
    return graph::read_floats(path_, count, 1, {{partition_.data(), count}});
  };
}

}  // namespace meshplan
