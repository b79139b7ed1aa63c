// SPDX-License-Identifier: Apache-2.0
// Matrix products with sums in fp32, on the calling thread, by the faster of two libraries: oneDNN
// where it is installed (large products; bf16 where the processor has instructions for them,
// AVX512_BF16 or AMX, at about twice the rate of fp32), else BLAS, in tiles that OpenBLAS
// multiplies without copies where it can. Without instructions for bf16 the rounded operands go
// through BLAS, with the same numbers but for the order of sums.
#pragma once
#include <cstdint>
#include <vector>

namespace meshplan::cpu {

/// C[m,n] = op(A) op(B), row-major; see GemmShape for op. ld*: elements between stored rows.
struct Product {
  bool trans_a = false, trans_b = false;
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
};

/// Does this computer multiply bf16 itself?
bool multiplies_bf16();

/// C is written.
void fp32_product(const Product& shape, const float* a, const float* b, float* c);
/// `space`: copies of the operands where the processor does not multiply bf16.
void bf16_product(const Product& shape, const uint16_t* a, const uint16_t* b, float* c,
                  std::vector<float>& space);

/// oneDNN's part; false where it is absent or does not take the product. T: float, or uint16_t for
/// bf16.
template <class T>
bool onednn_product(const Product& shape, const T* a, const T* b, float* c);
bool onednn_multiplies_bf16();

}  // namespace meshplan::cpu
