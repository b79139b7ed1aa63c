// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/product.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "profiler/kernels/blas.hpp"
#include "profiler/kernels/elementwise.hpp"

// OpenBLAS only; another BLAS leaves these weak symbols null.
extern "C" char* openblas_get_corename() __attribute__((weak));
extern "C" void somatcopy_(const char* order, const char* transposed, const int* rows,
                           const int* cols, const float* factor, const float* from,
                           const int* from_stride, float* to, const int* to_stride)
    __attribute__((weak));

namespace meshplan::cpu {
namespace {

// Where OpenBLAS has AVX-512 kernels, it multiplies without copying the operands first, but for at
// most this many multiplications, and not where the second operand is transposed. Tiles of this
// size take 6 to 16 % less time in chunks of 50 and 500 edges with 100 and 1,000 candidates.
constexpr int64_t kWithoutCopies = 1000000;
// Columns of a tile, and terms of its sums, with which these kernels are fastest.
constexpr int64_t kWidest = 128, kWide = 96, kDeep = 128;
// From so many multiplications on oneDNN, which copies operands once, is faster: than tiles by 2 %,
// than copies by OpenBLAS by 8 %. It leaves vectors unfilled where rows of the result are short.
constexpr int64_t kLarge = 100000000, kLargeForCopies = 4000000, kShortRow = 128;

bool multiplies_without_copies() {
  static const bool answer = [] {
    if (openblas_get_corename == nullptr || somatcopy_ == nullptr) return false;
    const std::string_view core = openblas_get_corename();
    return core == "SkylakeX" || core == "Cooperlake" || core == "SapphireRapids";
  }();
  return answer;
}

/// Of equal pieces of `whole`, none longer than `most`.
int64_t piece(int64_t whole, int64_t most) {
  const int64_t pieces = (whole + most - 1) / most;
  return (whole + pieces - 1) / pieces;
}

/// to [cols, rows] = from [rows, cols]'
void transpose(int64_t rows, int64_t cols, const float* from, int64_t stride, float* to) {
  const int m = static_cast<int>(rows), n = static_cast<int>(cols), lda = static_cast<int>(stride);
  const float one = 1;
  somatcopy_("R", "T", &m, &n, &one, from, &lda, to, &m);
}

/// The product by tiles that OpenBLAS multiplies without copies.
void tiled_product(const Product& s, const float* a, const float* b, float* c) {
  static thread_local std::array<float, kWidest * kDeep> columns;
  const int64_t wide = s.n <= kWidest ? s.n : kWide, deep = piece(s.k, kDeep);
  const int64_t high = piece(s.m, kWithoutCopies / (wide * deep));
  for (int64_t j = 0; j < s.n; j += wide) {
    const int64_t n = std::min(wide, s.n - j);
    for (int64_t p = 0; p < s.k; p += deep) {
      const int64_t k = std::min(deep, s.k - p);
      const float* of_b = s.trans_b ? columns.data() : b + p * s.ldb + j;
      const int64_t ldb = s.trans_b ? n : s.ldb;
      if (s.trans_b) transpose(n, k, b + j * s.ldb + p, s.ldb, columns.data());
      for (int64_t i = 0; i < s.m; i += high)
        blas_gemm(s.trans_a, false, std::min(high, s.m - i), n, k, 1.0F,
                  s.trans_a ? a + p * s.lda + i : a + i * s.lda + p, s.lda, of_b, ldb,
                  p == 0 ? 0.0F : 1.0F, c + i * s.ldc + j, s.ldc);
    }
  }
}

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
  const int64_t large = multiplies_without_copies() ? kLarge : kLargeForCopies;
  if (shape.m * shape.n * shape.k > large && shape.n >= kShortRow && onednn_product(shape, a, b, c))
    return;
  if (multiplies_without_copies()) return tiled_product(shape, a, b, c);
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
