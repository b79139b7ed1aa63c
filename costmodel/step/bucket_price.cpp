// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/bucket_price.hpp"

#include <algorithm>

namespace meshplan {
namespace {

// Kernels of a batch beside its products: draws, gathers, operators and losses of both sides,
// sorts of relations and rows, merging of equal ones, steps of both.
constexpr double kKernelsBeside = 26;
// Kernels that take as long for a small batch as for a large one: radix sorts 57, draws 10, the sum
// of the losses 5 us; sums and steps of operators 75 us for 20,000 edges of 20 relations. From
// validate/gpu/NVIDIA-H200/stage-7/batch_kernels.csv. Assumed: a kernel's start and end, which a
// stream does not hide, and that operators take 24 us of those 75 always, which is what passes of
// FB15k-237 in batches of 1,000 leave for them.
constexpr double kKernelGap_s = 1e-6, kSmallKernels_s = 96e-6, kOperatorsOfEdges_s = 51e-6;
constexpr double kOperatorEdges = 20000;

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
  // What the kernels of profiler/cuda/graph_batch.cu and graph_step.cu read and write. Operands of
  // products in 16 bits are made on the way; the ends of the edges are kept in fp32 beside them.
  const bool narrow = bytes_of(s.in) == 2;
  const double rows = 2 * d(batch) + d(s.sides * chunks * s.uniform), ends = 2 * d(batch);
  const double row = 4 * d(s.dimension), operand = narrow ? row / 2 : row;
  const double scores = d(s.sides * batch * n) * (narrow ? 6 : 8);
  double operators = 0;
  if (s.parameters > 0) {
    const double gradients = 4 * d(batch) * d(s.parameters);
    operators = ends * (row + operand) + ends * 4 * row + 2 * gradients;
  }
  out.scores_s = batches * (context.kernels.memory_bound(scores).seconds +
                            (operators > 0 ? context.kernels.memory_bound(operators).seconds : 0));
  const double gathered = rows * (row + operand) + (narrow ? ends * row : 0);
  out.rows_s = batches * (context.kernels.random_rows(gathered).seconds +
                          context.kernels.random_rows(3 * rows * row).seconds);
  out.kernels = batches * (3 * d(s.sides) + kKernelsBeside);
  out.small_s = batches * kSmallKernels_s + out.kernels * kKernelGap_s;
  if (s.parameters > 0)
    out.small_s += batches * kOperatorsOfEdges_s * std::min(1.0, d(batch) / kOperatorEdges);
  return out;
}

}  // namespace meshplan
