// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/bucket_price.hpp"

#include <algorithm>

namespace meshplan {
namespace {

// Kernels of a batch beside its products: draws, two gathers, operators and losses of both sides,
// sorting and merging of equal rows, three kinds of steps.
constexpr double kKernelsBeside = 16;

}  // namespace

BucketPrice bucket_price(const BucketStep& s, const PriceContext& context) {
  BucketPrice out;
  if (s.edges == 0) return out;
  const auto d = [](int64_t value) { return static_cast<double>(value); };
  const double batches = d(s.edges) / d(std::min(s.batch, s.edges));
  const int64_t batch = std::min(s.batch, s.edges);
  const int64_t chunk = std::min(s.chunk, batch);
  const int64_t chunks = (batch + chunk - 1) / chunk;
  const int64_t n = chunk + s.uniform;
  const auto product = [&](int64_t m, int64_t cols, int64_t k, Layout layout) {
    return context.kernels.gemm(m, cols, k, chunks, layout, s.in, DType::fp32, false).seconds;
  };
  const double side = product(chunk, n, s.dimension, Layout::tn) +
                      product(chunk, s.dimension, n, Layout::nn) +
                      product(n, s.dimension, chunk, Layout::nt);
  out.products_s = batches * d(s.sides) * side;
  // Scores are read and their gradients written; operators read and write the ends of the edges.
  const double score_bytes = d(s.sides * batch * n) * 2 * 4;
  const double operator_bytes = d(batch) * d(s.parameters + 2 * s.dimension) * 4 * 6;
  out.scores_s =
      batches * (context.kernels.memory_bound(score_bytes).seconds +
                 (s.parameters > 0 ? context.kernels.memory_bound(operator_bytes).seconds : 0));
  // A row is read and written once to gather it; its gradient is read, the row read and written.
  const double rows = 2 * d(batch) + d(s.sides * chunks * s.uniform);
  const double row_bytes = d(s.dimension) * 4 + 4;
  out.rows_s = batches * (context.kernels.random_rows(2 * rows * row_bytes).seconds +
                          context.kernels.random_rows(3 * rows * row_bytes).seconds);
  out.kernels = batches * (3 * d(s.sides) + kKernelsBeside);
  return out;
}

}  // namespace meshplan
