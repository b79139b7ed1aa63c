// SPDX-License-Identifier: Apache-2.0
// Gradients of a chunk of edges against differences of its loss, for every operator, comparator and
// loss.
#include <algorithm>
#include <array>
#include <cmath>

#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/graph_chunk.hpp"
#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/graph_rows.hpp"
#include "profiler/kernels/product.hpp"
#include "profiler/kernels/row_step.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan::cpu {
namespace {

using graph::Comparator;
using graph::Loss;
using graph::Operator;

constexpr int64_t kEdges = 3, kRows = 5, kCols = 4;

struct Case {
  ChunkModel model;
  std::vector<float> x, y, rhs, lhs;
  std::vector<int32_t> relations = {1, 0, 1}, slots = {0, 1, 0};
  std::vector<float> weights = {0.5F, 1, 2};
  std::vector<uint8_t> loops = {0, 1, 0};
  std::vector<int32_t> ids = {3, 7, 3, 5, 7};  // edges 0 and 2 have one answer
  bool masked = false;
  ChunkSpace space;

  explicit Case(const ChunkModel& m, bool mask) : model(m), masked(mask) {
    uint32_t state = 12345;
    const auto fill = [&](std::vector<float>& v, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        state = state * 1664525U + 1013904223U;
        v.push_back(static_cast<float>(state >> 8) / 8388608.0F - 1);
      }
    };
    const int64_t p = graph::parameters_of(model.op, kCols);
    fill(x, kRows * kCols);
    fill(y, kRows * kCols);
    fill(rhs, 2 * p);
    fill(lhs, 2 * p);
  }
  bool mixed() const {
    return model.dynamic && model.op != Operator::linear && model.op != Operator::affine;
  }
  double run(std::vector<float>& dx, std::vector<float>& dy, std::vector<float>& drhs,
             std::vector<float>& dlhs) {
    const int64_t p = graph::parameters_of(model.op, kCols);
    dx.assign(x.size(), 0);
    dy.assign(y.size(), 0);
    drhs.assign(static_cast<size_t>(kEdges * p), 0);
    dlhs = drhs;
    Chunk chunk;
    chunk.edges = kEdges;
    chunk.lhs = chunk.rhs = kRows;
    chunk.x = x.data();
    chunk.y = y.data();
    chunk.weights = weights.data();
    chunk.scale = 1.5F;
    chunk.loops = loops.data();
    if (masked) chunk.x_ids = chunk.y_ids = ids.data();
    chunk.rhs_params = rhs.data();
    chunk.lhs_params = lhs.data();
    chunk.relations = mixed() && p > 0 ? relations.data() : nullptr;
    chunk.slots = slots.data();
    return chunk_gradient(model, chunk, space, {dx.data(), dy.data(), drhs.data(), dlhs.data()});
  }
};

void check_gradients(const ChunkModel& model, bool masked = false) {
  Case c(model, masked);
  std::vector<float> dx, dy, drhs, dlhs, unused[4];
  c.run(dx, dy, drhs, dlhs);
  const auto slope = [&](float& value) {
    const float kept = value, step = 2e-3F;
    value = kept + step;
    const double above = c.run(unused[0], unused[1], unused[2], unused[3]);
    value = kept - step;
    const double under = c.run(unused[0], unused[1], unused[2], unused[3]);
    value = kept;
    return (above - under) / (2 * static_cast<double>(step));
  };
  const auto near = [](double a, double b) { return std::fabs(a - b) < 2e-2 * (1 + std::fabs(b)); };
  for (size_t i = 0; i < c.x.size(); ++i) CHECK(near(dx[i], slope(c.x[i])));
  for (size_t i = 0; i < c.y.size(); ++i) CHECK(near(dy[i], slope(c.y[i])));
  const auto p = static_cast<size_t>(graph::parameters_of(model.op, kCols));
  const auto check_operator = [&](std::vector<float>& values, const std::vector<float>& gradient) {
    for (size_t i = 0; i < p; ++i) {
      CHECK(near(gradient[c.mixed() ? p + i : i], slope(values[i])));  // relation 0
      if (c.mixed()) CHECK(near(gradient[i], slope(values[p + i])));
    }
  };
  check_operator(c.rhs, drhs);
  if (model.dynamic) check_operator(c.lhs, dlhs);
}

TEST_CASE("gradients of every operator, on one side and on both") {
  for (const Operator op : {Operator::none, Operator::diagonal, Operator::translation,
                            Operator::complex_diagonal, Operator::linear, Operator::affine})
    for (const bool dynamic : {false, true}) {
      CAPTURE(graph::name_of(op), dynamic);
      check_gradients({.op = op, .cols = kCols, .dynamic = dynamic});
    }
}

TEST_CASE("gradients of every comparator and loss") {
  for (const Comparator comparator :
       {Comparator::dot, Comparator::cos, Comparator::l2, Comparator::squared_l2})
    for (const Loss loss : {Loss::softmax, Loss::logistic, Loss::ranking})
      for (const bool bias : {false, true}) {
        CAPTURE(graph::name_of(comparator), graph::name_of(loss), bias);
        check_gradients({.comparator = comparator,
                         .loss = loss,
                         .op = Operator::diagonal,
                         .cols = kCols,
                         .margin = 0.3F,
                         .bias = bias,
                         .dynamic = true});
      }
}

TEST_CASE("gradients of N3, of one corrupted side, without negatives of the batch") {
  check_gradients({.op = Operator::complex_diagonal, .cols = kCols, .n3 = 0.1F, .dynamic = true});
  check_gradients({.op = Operator::diagonal, .cols = kCols, .n3 = 0.1F, .dynamic = true});
  check_gradients({.op = Operator::diagonal, .cols = kCols, .corrupt_lhs = false});
  check_gradients({.op = Operator::diagonal, .cols = kCols, .dynamic = true, .mask_batch = true});
}

TEST_CASE("gradients of the other end as a candidate, of masked answers") {
  for (const Comparator comparator :
       {Comparator::dot, Comparator::cos, Comparator::l2, Comparator::squared_l2})
    for (const Loss loss : {Loss::softmax, Loss::logistic, Loss::ranking})
      for (const bool dynamic : {false, true}) {
        CAPTURE(graph::name_of(comparator), graph::name_of(loss), dynamic);
        check_gradients({.comparator = comparator,
                         .loss = loss,
                         .op = Operator::complex_diagonal,
                         .cols = kCols,
                         .margin = 0.5F,  // no pair of these rows near the hinge's corner
                         .dynamic = dynamic,
                         .own = true},
                        dynamic);
      }
  check_gradients({.op = Operator::none, .cols = kCols, .bias = true, .own = true});
  check_gradients({.op = Operator::diagonal, .cols = kCols, .corrupt_rhs = false, .own = true},
                  true);
}

TEST_CASE("losses by hand") {
  // Scores 1 (right), 0, 2 and their losses; N = 3 candidates.
  std::vector<float> s = {1, 0, 2};
  LossRows rows;
  rows.loss = Loss::softmax;
  CHECK(loss_gradient(rows, 1, 3, 3, s.data()) ==
        Approx(-1 + std::log(std::exp(1.0) + 1 + std::exp(2.0))));
  s = {1, 0, 2};
  rows.loss = Loss::logistic;
  CHECK(loss_gradient(rows, 1, 3, 3, s.data()) ==
        Approx(std::log1p(std::exp(-1.0)) + (std::log(2.0) + std::log1p(std::exp(2.0))) / 3));
  s = {1, 0, 2};
  rows.loss = Loss::ranking;
  rows.margin = 0.5F;
  CHECK(loss_gradient(rows, 1, 3, 3, s.data()) == Approx(1.5));
  CHECK(s == std::vector<float>{-1, 0, 1});
  // The answer once more in column 1, the other end in column 2: e^1 and e^2, then e^1 alone.
  const int32_t ids[] = {4, 4};
  uint8_t loop = 0;
  rows = {.ids = ids, .own = true, .loops = &loop};
  s = {1, 0, 2};
  CHECK(loss_gradient(rows, 1, 3, 3, s.data()) ==
        Approx(-1 + std::log(std::exp(1.0) + std::exp(2.0))));
  loop = 1;
  s = {1, 0, 2};
  CHECK(loss_gradient(rows, 1, 3, 3, s.data()) == Approx(0).margin(1e-6));
}

TEST_CASE("products in fp32, in tiles too, and bf16 products are those of the rounded operands") {
  uint32_t state = 7;
  const auto draw = [&](int64_t count) {
    std::vector<uint16_t> out;
    for (int64_t i = 0; i < count; ++i) {
      state = state * 1664525U + 1013904223U;
      out.push_back(bf16_of(static_cast<float>(state >> 8) / 8388608.0F - 1));
    }
    return out;
  };
  const auto wide = [](const std::vector<uint16_t>& values) {
    std::vector<float> out;
    for (const uint16_t value : values) out.push_back(float_of(value));
    return out;
  };
  for (const auto& [trans_a, trans_b] : {std::pair{false, true}, {false, false}, {true, false}})
    for (const auto& [m, n, k] :
         {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {33, 21, 50}, {130, 211, 263}}) {
      CAPTURE(trans_a, trans_b, m, n, k);
      const Product shape{trans_a,           trans_b, m, n, k, (trans_a ? m : k) + 1,
                          (trans_b ? k : n), n + 2};
      const std::vector<uint16_t> a = draw((trans_a ? k : m) * shape.lda),
                                  b = draw((trans_b ? n : k) * shape.ldb);
      const std::vector<float> wide_a = wide(a), wide_b = wide(b);
      std::vector<float> rounded(static_cast<size_t>(m * shape.ldc), 9), exact = rounded, space;
      bf16_product(shape, a.data(), b.data(), rounded.data(), space);
      fp32_product(shape, wide_a.data(), wide_b.data(), exact.data());
      double worst = 0;
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < k; ++l)
            sum +=
                static_cast<double>(
                    wide_a[static_cast<size_t>(trans_a ? l * shape.lda + i : i * shape.lda + l)]) *
                static_cast<double>(
                    wide_b[static_cast<size_t>(trans_b ? j * shape.ldb + l : l * shape.ldb + j)]);
          const auto at = static_cast<size_t>(i * shape.ldc + j);
          worst = std::max({worst, std::fabs(static_cast<double>(rounded[at]) - sum),
                            std::fabs(static_cast<double>(exact[at]) - sum)});
        }
        CHECK(rounded[static_cast<size_t>(i * shape.ldc + n)] == 9);
        CHECK(exact[static_cast<size_t>(i * shape.ldc + n)] == 9);
      }
      CHECK(worst < 2e-5);
    }
}

TEST_CASE("an order meets every number once, and is another with another key") {
  for (const int64_t count : {1, 2, 3, 4, 99, 100, 101, 4099}) {
    CAPTURE(count);
    const graph::Permutation order(count, 5), other(count, 6);
    std::vector<int> met(static_cast<size_t>(count), 0);
    bool differ = false;
    for (int64_t i = 0; i < count; ++i) {
      ++met.at(static_cast<size_t>(order(i)));
      differ = differ || order(i) != other(i);
    }
    CHECK(met == std::vector<int>(static_cast<size_t>(count), 1));
    if (count > 4) CHECK(differ);
  }
}

TEST_CASE("gradients by bf16 products are near those by fp32") {
  for (const Comparator comparator : {Comparator::dot, Comparator::cos, Comparator::squared_l2})
    for (const bool own : {false, true}) {
      CAPTURE(graph::name_of(comparator), own);
      const ChunkModel exact{.comparator = comparator,
                             .op = Operator::complex_diagonal,
                             .cols = kCols,
                             .dynamic = true,
                             .own = own};
      ChunkModel rounded = exact;
      rounded.products = DType::bf16;
      std::vector<float> a[4], b[4];
      Case one(exact, false), other(rounded, false);
      const double loss = one.run(a[0], a[1], a[2], a[3]);
      CHECK(other.run(b[0], b[1], b[2], b[3]) == Approx(loss).epsilon(0.02));
      CHECK(b[0] != a[0]);
      for (size_t which = 0; which < 4; ++which) {
        float largest = 0;
        for (const float g : a[which]) largest = std::max(largest, std::fabs(g));
        for (size_t i = 0; i < a[which].size(); ++i)
          CHECK(b[which][i] == Approx(a[which][i]).margin(0.03 * static_cast<double>(largest)));
      }
    }
}

TEST_CASE("fp32 products, small and large, are those of the sums") {
  for (const auto& [trans_a, trans_b] : {std::pair{false, true}, {false, false}, {true, false}})
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{2, 3, 4}, {180, 170, 150}}) {
      CAPTURE(trans_a, trans_b, m, n, k);
      const Product shape{trans_a,           trans_b, m, n, k, (trans_a ? m : k) + 1,
                          (trans_b ? k : n), n + 2};
      std::vector<float> a, b, c(static_cast<size_t>(m * shape.ldc), 9);
      for (int64_t i = 0; i < (trans_a ? k : m) * shape.lda; ++i)
        a.push_back(static_cast<float>(i % 7) - 3);
      for (int64_t i = 0; i < (trans_b ? n : k) * shape.ldb; ++i)
        b.push_back(static_cast<float>(i % 5) - 2);
      fp32_product(shape, a.data(), b.data(), c.data());
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          float sum = 0;  // of whole numbers: exact
          for (int64_t l = 0; l < k; ++l)
            sum += a[static_cast<size_t>(trans_a ? l * shape.lda + i : i * shape.lda + l)] *
                   b[static_cast<size_t>(trans_b ? j * shape.ldb + l : l * shape.ldb + j)];
          if (c[static_cast<size_t>(i * shape.ldc + j)] != sum) FAIL(i << ' ' << j);
        }
        CHECK(c[static_cast<size_t>(i * shape.ldc + n)] == 9);
      }
    }
  CHECK(dot_product(9, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}.data(),
                    std::vector<float>{1, 1, 1, 1, 1, 1, 1, 1, 2}.data()) == 54);
}

TEST_CASE("rows of one chunk move with it, those of several with the last or at the end, by hand") {
  // Chunk 0 touches rows 2, 0, 2; chunk 1 rows 1, 0, 1.
  const bool in_order = GENERATE(false, true);
  graph::RowMerge merge;
  for (int turn = 0; turn < 2; ++turn) {  // the second finds nothing of the first
    merge.begin(3, in_order);
    merge.next_chunk();
    for (const auto& [row, position] : {std::pair{2, 0}, {0, 1}, {2, 2}}) merge.add(row, position);
    merge.next_chunk();
    for (const auto& [row, position] : {std::pair{1, 0}, {0, 1}, {1, 2}}) merge.add(row, position);
    merge.end();
    CHECK(merge.groups(0).size() == 2);
    CHECK(merge.groups(1).size() == 2);
    CHECK(merge.slots() == (in_order ? 1 : 2));  // row 0: of both chunks, or in either one
    CHECK(merge.rows().size() == 3);
  }
  struct Rows {
    float *values, *sums;
    float* row(int64_t i) const { return values + 2 * i; }
    float* sum(int64_t i) const { return sums + i; }
  };
  float values[6] = {}, sums[3] = {}, kept[4] = {};
  const Rows rows{values, sums};
  const graph::RowStep<Rows> step{merge, rows, 2, 1, 0, false, kept};
  float first[] = {3, 3, 1, 1, 1, 1}, second[] = {1, 1, 4, 4, 2, 2};
  step.chunk(0, first, nullptr);
  CHECK(sums[2] == 16);  // 3 + 1
  CHECK(values[4] == Approx(-1));
  CHECK(sums[0] == 0);
  step.chunk(1, second, nullptr);
  CHECK(sums[1] == 9);  // 1 + 2
  if (!in_order) {
    CHECK(sums[0] == 0);
    step.shared(0, 3);
  }
  CHECK(sums[0] == 25);  // 1 + 4
  CHECK(values[0] == Approx(-1));
  CHECK(sums[1] == 9);
  CHECK(sums[2] == 16);
}

TEST_CASE("row-wise Adagrad by hand") {
  // Mean of squares (9 + 16) / 2 = 12.5: step 0.1 / sqrt(12.5).
  float row[] = {1, 1}, sum = 0;
  const float g[] = {3, -4};
  row_adagrad(2, g, 0.1F, 0, row, &sum);
  CHECK(sum == Approx(12.5));
  CHECK(row[0] == Approx(1 - 0.3 / std::sqrt(12.5)));
  CHECK(row[1] == Approx(1 + 0.4 / std::sqrt(12.5)));
  row_adagrad(2, g, 0, 0.5F, row, &sum);
  CHECK(row[0] * row[0] + row[1] * row[1] == Approx(0.25));
}

}  // namespace
}  // namespace meshplan::cpu
