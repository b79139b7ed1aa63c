// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/graph_bench.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <new>

#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/graph_rows.hpp"
#include "profiler/kernels/row_step.hpp"
#include "profiler/storage/row_file.hpp"

namespace meshplan {
namespace {

constexpr int64_t kRelations = 200;
constexpr size_t kPage = size_t{2} << 20;

/// Rows of a table and their sums of squares.
struct TableRows {
  float *values, *sums;
  int64_t cols;
  float* row(int64_t i) const { return values + i * cols; }
  float* sum(int64_t i) const { return sums + i; }
};

void fill(std::vector<float>& values, int64_t count) {
  values.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 97) * 1e-3F;
}

void draw(std::vector<int32_t>& ids, int64_t count, int64_t below_this, uint64_t key) {
  ids.clear();
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(
        graph::below(graph::mix64(key + static_cast<uint64_t>(i)), below_this)));
}

}  // namespace

GraphBench::GraphBench(const std::string& folder, const std::string& name)
    : path_(folder + "/meshplan-profile-" + std::to_string(::getpid()) + "-" + name) {}

GraphBench::~GraphBench() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void GraphBench::Free::operator()(float* data) const { std::free(data); }

void GraphBench::make_table(int64_t bytes, int64_t cols) {
  table_rows_ = std::max<int64_t>(1, bytes / 4 / cols);
  if (bytes != table_bytes_) {
    const size_t whole = (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage;
    table_.reset(static_cast<float*>(std::aligned_alloc(kPage, whole)));
    if (table_ == nullptr) throw std::bad_alloc();
    ::madvise(table_.get(), whole, MADV_HUGEPAGE);
    std::fill_n(table_.get(), bytes / 4, 0.1F);
    table_bytes_ = bytes;
  }
  sums_.assign(static_cast<size_t>(table_rows_), 1.0F);
  fill(x_, kRows * cols);
  fill(gradient_, kRows * cols);
}

/// Other rows every time, so that no cache remembers them.
void GraphBench::draw_rows() {
  draw(ids_, kRows, table_rows_, next_);
  next_ += kRows;
}

std::function<Status()> GraphBench::chunk(int64_t edges, int64_t candidates, int64_t cols,
                                          DType products) {
  fill(operators_, kRelations * cols);
  for (auto* values : {&x_, &y_}) fill(*values, candidates * cols);
  for (auto* values : {&dx_, &dy_}) fill(*values, candidates * cols);
  const int64_t batch = std::max(kBatchEdges, edges);
  for (auto* values : {&drhs_, &dlhs_}) fill(*values, batch * cols);
  draw(relations_, edges, kRelations, 3);
  merge_.begin(kRelations, true);
  merge_.next_chunk();
  slots_.clear();
  for (const int32_t relation : relations_) slots_.push_back(merge_.add(relation, 0));
  merge_.end();
  const cpu::ChunkModel model{
      .op = graph::Operator::complex_diagonal, .cols = cols, .dynamic = true, .products = products};
  return [=, this]() -> Status {
    cpu::Chunk chunk;
    chunk.edges = edges;
    chunk.lhs = chunk.rhs = candidates;
    chunk.x = x_.data();
    chunk.y = y_.data();
    chunk.rhs_params = chunk.lhs_params = operators_.data();
    chunk.relations = relations_.data();
    chunk.slots = slots_.data();
    next_edge_ = next_edge_ + 2 * edges > batch ? 0 : next_edge_ + edges;
    cpu::chunk_gradient(model, chunk, space_,
                        {dx_.data(), dy_.data(), drhs_.data() + next_edge_ * cols,
                         dlhs_.data() + next_edge_ * cols});
    return Done{};
  };
}

std::function<Status()> GraphBench::edges(int64_t count) {
  draw(relations_, count, kRelations, 1);
  draw(ends_, 2 * count, count, 2);
  return [=, this]() -> Status {
    const graph::Permutation order(count, next_);
    ids_.clear();
    for (int64_t i = 0; i < kRows; ++i) {
      const auto at = static_cast<size_t>(order((i + static_cast<int64_t>(next_)) % count));
      ids_.push_back(ends_[at]);
      ids_.push_back(ends_[at + static_cast<size_t>(count)]);
      ids_.push_back(relations_[at]);
    }
    next_ += kRows;
    return Done{};
  };
}

std::function<Status()> GraphBench::gather(int64_t bytes, int64_t cols) {
  make_table(bytes, cols);
  from_.resize(static_cast<size_t>(kRows));
  return [=, this]() -> Status {
    draw_rows();
    for (int64_t i = 0; i < kRows; ++i)
      from_[static_cast<size_t>(i)] = table_.get() + ids_[static_cast<size_t>(i)] * cols;
    cpu::gather_rows(from_.data(), kRows, cols, nullptr, x_.data());
    return Done{};
  };
}

std::function<Status()> GraphBench::step(int64_t bytes, int64_t cols) {
  make_table(bytes, cols);
  return [=, this]() -> Status {
    draw_rows();
    merge_.begin(table_rows_, true);
    for (int64_t i = 0; i < kRows; ++i) {
      if (i % kChunkRows == 0) merge_.next_chunk();
      merge_.add(ids_[static_cast<size_t>(i)], static_cast<int32_t>(i % kChunkRows));
    }
    merge_.end();
    if (const int64_t slots = merge_.slots(); slots * cols > static_cast<int64_t>(dx_.size()))
      fill(dx_, slots * cols);
    const TableRows rows{table_.get(), sums_.data(), cols};
    const graph::RowStep<TableRows> step{merge_, rows, cols, 1e-9F, 0, false, dx_.data()};
    for (int64_t c = 0; c < kRows / kChunkRows; ++c) step.chunk(c, gradient_.data(), nullptr);
    return Done{};
  };
}

std::function<Status()> GraphBench::operators(int64_t cols) {
  fill(operators_, kRelations * cols);
  fill(drhs_, kRows * cols);
  fill(dx_, kRelations * cols);
  fill(dy_, kRelations * cols);
  draw(relations_, kRows, kRelations, 3);
  return [=, this]() -> Status {
    std::fill(dx_.begin(), dx_.end(), 0.0F);
    for (size_t i = 0; i < relations_.size(); ++i)
      cpu::add_row(cols, drhs_.data() + static_cast<int64_t>(i) * cols,
                   dx_.data() + relations_[i] * cols);
    for (int64_t r = 0; r < kRelations; ++r)
      cpu::value_adagrad(cols, dx_.data() + r * cols, 1e-9F, operators_.data() + r * cols,
                         dy_.data() + r * cols);
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
