// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/bf16_product.hpp"

#include <algorithm>

#include "profiler/kernels/blas.hpp"
#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

bool multiplies_bf16() {
  static const bool answer = onednn_multiplies_bf16();
  return answer;
}

void bf16_product(const Bf16Product& shape, const uint16_t* a, const uint16_t* b, float* c,
                  std::vector<float>& space) {
  if (shape.m == 0 || shape.n == 0) return;
  if (shape.k == 0) {
    for (int64_t i = 0; i < shape.m; ++i) std::fill_n(c + i * shape.ldc, shape.n, 0.0F);
    return;
  }
  if (multiplies_bf16() && onednn_product(shape, a, b, c)) return;
  const int64_t of_a = (shape.trans_a ? shape.k : shape.m) * shape.lda;
  const int64_t of_b = (shape.trans_b ? shape.n : shape.k) * shape.ldb;
  if (static_cast<int64_t>(space.size()) < of_a + of_b)
    space.resize(static_cast<size_t>(of_a + of_b));
  float *wide_a = space.data(), *wide_b = wide_a + of_a;
  from_bf16(of_a, a, wide_a);
  from_bf16(of_b, b, wide_b);
  blas_gemm(shape.trans_a, shape.trans_b, shape.m, shape.n, shape.k, 1.0F, wide_a, shape.lda,
            wide_b, shape.ldb, 0.0F, c, shape.ldc);
}

}  // namespace meshplan::cpu
