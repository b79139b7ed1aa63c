// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/product.hpp"

#include <algorithm>

#include "profiler/kernels/blas.hpp"
#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {
namespace {

// Below this many multiplications oneDNN is no faster where operands come from the chunk before,
// and it leaves vectors unfilled where rows of the result are shorter than this. Chunks of 500
// edges and 1,000 candidates of 400 values take 8 % less time than with OpenBLAS.
constexpr int64_t kSmall = 4000000, kShortRow = 128;

/// True: nothing is left to do.
bool is_empty(const Product& shape, float* c) {
  if (shape.m == 0 || shape.n == 0) return true;
  if (shape.k > 0) return false;
  for (int64_t i = 0; i < shape.m; ++i) std::fill_n(c + i * shape.ldc, shape.n, 0.0F);
  return true;
}

}  // namespace

bool multiplies_bf16() {
  static const bool answer = onednn_multiplies_bf16();
  return answer;
}

void fp32_product(const Product& shape, const float* a, const float* b, float* c) {
  if (is_empty(shape, c)) return;
  const bool large = shape.m * shape.n * shape.k > kSmall && shape.n >= kShortRow;
  if (large && onednn_product(shape, a, b, c)) return;
  blas_gemm(shape.trans_a, shape.trans_b, shape.m, shape.n, shape.k, 1.0F, a, shape.lda, b,
            shape.ldb, 0.0F, c, shape.ldc);
}

void bf16_product(const Product& shape, const uint16_t* a, const uint16_t* b, float* c,
                  std::vector<float>& space) {
  if (is_empty(shape, c)) return;
  if (multiplies_bf16() && onednn_product(shape, a, b, c)) return;
  const int64_t of_a = (shape.trans_a ? shape.k : shape.m) * shape.lda;
  const int64_t of_b = (shape.trans_b ? shape.n : shape.k) * shape.ldb;
  if (static_cast<int64_t>(space.size()) < of_a + of_b)
    space.resize(static_cast<size_t>(of_a + of_b));
  float *wide_a = space.data(), *wide_b = wide_a + of_a;
  from_bf16(of_a, a, wide_a);
  from_bf16(of_b, b, wide_b);
  fp32_product(shape, wide_a, wide_b, c);
}

}  // namespace meshplan::cpu
