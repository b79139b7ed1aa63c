// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/gemm.hpp"

#include <cassert>
#include <vector>

#include "profiler/kernels/blas.hpp"

namespace meshplan::cpu {
namespace {

// Pieces of this many rows or columns keep whole micro-kernel tiles (16 wide or less in OpenBLAS)
// and stay large enough to amortise the packing of the other operand.
constexpr int64_t kGrain = 64;

GemmShape with_strides(GemmShape g) {
  if (g.lda == 0) g.lda = g.trans_a ? g.m : g.k;
  if (g.ldb == 0) g.ldb = g.trans_b ? g.k : g.n;
  if (g.ldc == 0) g.ldc = g.n;
  return g;
}

// An empty inner dimension still scales C (BLAS may return early and leave NaN in place for beta =
// 0).
template <class T>
void scale_only(const GemmShape& g, T* c) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      T& x = c[i * g.ldc + j];
      x = g.beta == 0 ? T(0) : static_cast<T>(g.beta) * x;
    }
  }
}

template <class T>
void gemm_here(const GemmShape& g, const T* a, const T* b, T* c) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) return scale_only(g, c);
  blas_gemm(g.trans_a, g.trans_b, g.m, g.n, g.k, static_cast<T>(g.alpha), a, g.lda, b, g.ldb,
            static_cast<T>(g.beta), c, g.ldc);
}

}  // namespace

template <class T>
void gemm(Workers& workers, const GemmShape& shape, const T* a, const T* b, T* c) {
  const GemmShape g = with_strides(shape);
  if (g.m >= g.n) {
    workers.split(g.m, kGrain, [&](int64_t begin, int64_t end) {
      GemmShape part = g;
      part.m = end - begin;
      gemm_here(part, a + begin * (g.trans_a ? 1 : g.lda), b, c + begin * g.ldc);
    });
  } else {
    workers.split(g.n, kGrain, [&](int64_t begin, int64_t end) {
      GemmShape part = g;
      part.n = end - begin;
      gemm_here(part, a, b + begin * (g.trans_b ? g.ldb : 1), c + begin);
    });
  }
}

template <class T>
void gemm_batched(Workers& workers, const GemmShape& shape, int64_t batch, const T* a,
                  int64_t stride_a, const T* b, int64_t stride_b, T* c, int64_t stride_c) {
  const GemmShape g = with_strides(shape);
  workers.run(batch, [&](int64_t i, int) {
    gemm_here(g, a + i * stride_a, b + i * stride_b, c + i * stride_c);
  });
}

template <class T>
void gemm_grouped(Workers& workers, const GemmShape& shape, Ragged ragged,
                  std::span<const int64_t> sizes, const T* a, const T* b, T* c) {
  assert(shape.lda == 0 && shape.ldb == 0 && shape.ldc == 0);
  assert(ragged == Ragged::m ? !shape.trans_a : shape.trans_a && !shape.trans_b);
  std::vector<int64_t> first(sizes.size() + 1, 0);
  for (size_t i = 0; i < sizes.size(); ++i) first[i + 1] = first[i] + sizes[i];
  workers.run(static_cast<int64_t>(sizes.size()), [&](int64_t i, int) {
    GemmShape g = shape;
    (ragged == Ragged::m ? g.m : g.k) = sizes[i];
    g = with_strides(g);
    const bool rows = ragged == Ragged::m;
    gemm_here(g, a + first[i] * (rows ? g.k : g.m), b + (rows ? i * g.k : first[i]) * g.n,
              c + (rows ? first[i] : i * g.m) * g.n);
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                   \
  template void gemm<T>(Workers&, const GemmShape&, const T*, const T*, T*);                      \
  template void gemm_batched<T>(Workers&, const GemmShape&, int64_t, const T*, int64_t, const T*, \
                                int64_t, T*, int64_t);                                            \
  template void gemm_grouped<T>(Workers&, const GemmShape&, Ragged, std::span<const int64_t>,     \
                                const T*, const T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
