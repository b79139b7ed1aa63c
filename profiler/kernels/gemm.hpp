// SPDX-License-Identifier: Apache-2.0
// Matrix products of the step program on the CPU: C = alpha op(A) op(B) + beta C, row-major, by
// CBLAS. A linear layer with weight W[out, in] (the order of HF checkpoints) uses
//   forward          Y[rows, out]  = X W^T     trans_b
//   input gradient   dX[rows, in]  = dY W      neither
//   weight gradient  dW[out, in]  += dY^T X    trans_a, beta = 1
// T is float, or double for reference. Left out: bias (add_bias in elementwise.hpp), other layouts.
#pragma once
#include <cstdint>
#include <span>

#include "profiler/kernels/workers.hpp"

namespace meshplan::cpu {

struct GemmShape {
  int64_t m = 0, n = 0, k = 0;        ///< C is m x n, the inner dimension k
  bool trans_a = false;               ///< A is stored k x m instead of m x k
  bool trans_b = false;               ///< B is stored n x k instead of k x n
  double alpha = 1, beta = 0;         ///< beta = 0 does not read C
  int64_t lda = 0, ldb = 0, ldc = 0;  ///< elements between stored rows; 0: rows are contiguous
};

/// One product; the larger of m and n is shared among the workers.
template <class T>
void gemm(Workers& workers, const GemmShape& shape, const T* a, const T* b, T* c);

/// `batch` products of one shape at fixed distances (elements); products are shared among the
/// workers.
template <class T>
void gemm_batched(Workers& workers, const GemmShape& shape, int64_t batch, const T* a,
                  int64_t stride_a, const T* b, int64_t stride_b, T* c, int64_t stride_c);

/// Which dimension differs from group to group: the rows of A and C (forward, input gradient) or
/// the inner dimension (weight gradient).
enum class Ragged { m, k };

/// One product per group g with sizes[g] for the ragged dimension (that field of `shape` is
/// ignored). Ragged::m: A and C hold the groups' rows one after the other, B one matrix per group.
/// Ragged::k: A (trans_a) and B (not trans_b) hold the groups' rows one after the other, C one
/// matrix per group; a group of size 0 leaves beta * C. Matrices of a group are contiguous (ld* =
/// 0).
template <class T>
void gemm_grouped(Workers& workers, const GemmShape& shape, Ragged ragged,
                  std::span<const int64_t> sizes, const T* a, const T* b, T* c);

}  // namespace meshplan::cpu
