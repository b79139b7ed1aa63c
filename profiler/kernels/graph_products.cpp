// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_products.hpp"

#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/product.hpp"

namespace meshplan::cpu {
namespace {

/// Rows one after the other in bf16, times `factor`.
const uint16_t* rounded(int64_t rows, int64_t cols, const float* x, int64_t stride,
                        std::vector<uint16_t>& out) {
  if (static_cast<int64_t>(out.size()) < rows * cols) out.resize(static_cast<size_t>(rows * cols));
  if (stride == cols) {
    to_bf16(rows * cols, x, out.data());
  } else {
    for (int64_t i = 0; i < rows; ++i) to_bf16(cols, x + i * stride, out.data() + i * cols);
  }
  return out.data();
}

void scale_rows(int64_t rows, int64_t cols, float factor, int64_t stride, float* x) {
  for (int64_t i = 0; i < rows; ++i)
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) x[i * stride + c] *= factor;
}

}  // namespace

void pair_scores(const Pairs& p, PairSpace& space, int64_t stride, float* out) {
  Product shape{.trans_b = true,
                .m = p.queries,
                .n = p.candidates,
                .k = p.cols,
                .lda = p.q_stride,
                .ldb = p.k_stride,
                .ldc = stride};
  if (p.type != DType::bf16) return fp32_product(shape, p.q, p.k, out);
  const uint16_t* q = rounded(p.queries, p.cols, p.q, p.q_stride, space.q);
  const uint16_t* k = rounded(p.candidates, p.cols, p.k, p.k_stride, space.k);
  shape.lda = shape.ldb = p.cols;
  bf16_product(shape, q, k, out, space.wide);
}

void pair_gradients(const Pairs& p, PairSpace& space, float factor, const float* g, int64_t stride,
                    float* dq, float* dk, int64_t d_stride) {
  Product of_q{.m = p.queries,
               .n = p.cols,
               .k = p.candidates,
               .lda = stride,
               .ldb = p.k_stride,
               .ldc = d_stride};
  Product of_k{.trans_a = true,
               .m = p.candidates,
               .n = p.cols,
               .k = p.queries,
               .lda = stride,
               .ldb = p.q_stride,
               .ldc = d_stride};
  if (p.type == DType::bf16) {
    const uint16_t* slopes = rounded(p.queries, p.candidates, g, stride, space.g);
    of_q.lda = of_k.lda = p.candidates;
    of_q.ldb = of_k.ldb = p.cols;
    bf16_product(of_q, slopes, space.k.data(), dq, space.wide);
    bf16_product(of_k, slopes, space.q.data(), dk, space.wide);
  } else {
    fp32_product(of_q, g, p.k, dq);
    fp32_product(of_k, g, p.q, dk);
  }
  if (factor == 1.0F) return;
  scale_rows(p.queries, p.cols, factor, d_stride, dq);
  scale_rows(p.candidates, p.cols, factor, d_stride, dk);
}

}  // namespace meshplan::cpu
