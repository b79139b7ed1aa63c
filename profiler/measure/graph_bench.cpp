// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/graph_bench.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <new>

#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/graph_rows.hpp"
#include "profiler/storage/row_file.hpp"

namespace meshplan {
namespace {

constexpr int64_t kRelations = 200;
constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kRowsAhead = 3;  // as the trainer reads ahead

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
    : path_(folder + "/meshplan-profile-" + name) {}

GraphBench::~GraphBench() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void GraphBench::Free::operator()(float* data) const { std::free(data); }

void GraphBench::make_table(int64_t bytes, int64_t cols) {
  const int64_t rows = std::max<int64_t>(1, bytes / 4 / cols);
  cols_ = cols;
  if (bytes != table_bytes_) {
    const size_t whole = (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage;
    table_.reset(static_cast<float*>(std::aligned_alloc(kPage, whole)));
    if (table_ == nullptr) throw std::bad_alloc();
    ::madvise(table_.get(), whole, MADV_HUGEPAGE);
    std::fill_n(table_.get(), bytes / 4, 0.1F);
    table_bytes_ = bytes;
  }
  sums_.assign(static_cast<size_t>(rows), 1.0F);
  head_.assign(static_cast<size_t>(rows), -1);
  fill(x_, kRows * cols);
  fill(gradient_, kBatchRows * cols);
}

/// Other rows every time, so that no cache remembers them.
void GraphBench::draw_rows() {
  draw(ids_, kRows, static_cast<int64_t>(head_.size()), next_);
  next_ += kRows;
}

float* GraphBench::next_gradient(int64_t rows, int64_t cols) {
  if (next_row_ + rows > static_cast<int64_t>(gradient_.size()) / cols) next_row_ = 0;
  float* at = gradient_.data() + next_row_ * cols;
  next_row_ += rows;
  return at;
}

/// Touches of equal rows are chained, their gradients summed, the row stepped.
void GraphBench::step_rows() {
  rows_.clear();
  float* gradient = next_gradient(kRows, cols_);
  next_touch_.assign(static_cast<size_t>(kRows), -1);
  for (int32_t i = kRows; i-- > 0;) {
    int32_t& head = head_[static_cast<size_t>(ids_[static_cast<size_t>(i)])];
    if (head < 0) {
      head = static_cast<int32_t>(rows_.size());
      rows_.emplace_back(ids_[static_cast<size_t>(i)], i);
    } else {
      auto& row = rows_[static_cast<size_t>(head)];
      next_touch_[static_cast<size_t>(i)] = row.second;
      row.second = i;
    }
  }
  for (const auto& [row, first] : rows_) head_[static_cast<size_t>(row)] = -1;
  for (size_t r = 0; r < rows_.size(); ++r) {
    const auto [row, first] = rows_[r];
    if (r + kRowsAhead < rows_.size()) {
      const auto [ahead, touch] = rows_[r + kRowsAhead];
      cpu::prefetch_row(table_.get() + ahead * cols_, cols_);
      cpu::prefetch_row(gradient + touch * cols_, cols_);
    }
    float* sum = gradient + first * cols_;
    for (int32_t touch = next_touch_[static_cast<size_t>(first)]; touch >= 0;
         touch = next_touch_[static_cast<size_t>(touch)])
      cpu::add_row(cols_, gradient + touch * cols_, sum);
    cpu::row_adagrad(cols_, sum, 1e-9F, 0, table_.get() + row * cols_, sums_.data() + row);
  }
}

std::function<Status()> GraphBench::chunk(int64_t edges, int64_t candidates, int64_t cols) {
  fill(operators_, kRelations * cols);
  for (auto* values : {&x_, &y_}) fill(*values, candidates * cols);
  fill(gradient_, std::max(kBatchRows, 2 * candidates) * cols);
  const int64_t batch = std::max(kBatchEdges, edges);
  for (auto* values : {&drhs_, &dlhs_}) fill(*values, batch * cols);
  draw(relations_, edges, kRelations, 3);
  const cpu::ChunkModel model{
      .op = graph::Operator::complex_diagonal, .cols = cols, .dynamic = true};
  return [=, this]() -> Status {
    cpu::Chunk chunk;
    chunk.edges = edges;
    chunk.lhs = chunk.rhs = candidates;
    chunk.x = x_.data();
    chunk.y = y_.data();
    chunk.rhs_params = chunk.lhs_params = operators_.data();
    chunk.relations = relations_.data();
    float* dx = next_gradient(2 * candidates, cols);
    next_edge_ = next_edge_ + 2 * edges > batch ? 0 : next_edge_ + edges;
    cpu::chunk_gradient(model, chunk, space_,
                        {dx, dx + candidates * cols, drhs_.data() + next_edge_ * cols,
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
  return [this]() -> Status {
    draw_rows();
    step_rows();
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
