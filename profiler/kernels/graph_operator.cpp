// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_operator.hpp"

#include <algorithm>
#include <cassert>

#include "profiler/kernels/blas.hpp"

namespace meshplan::cpu {
namespace {

using graph::Operator;

const float* params_of(const OperatorRows& rows, int64_t i) {
  return rows.stride == 0 ? rows.params : rows.params + rows.index[i] * rows.stride;
}

void complex_row(int64_t half, const float* r, const float* x, float* out) {
  const float *ri = r + half, *xi = x + half;
  float* oi = out + half;
#pragma omp simd
  for (int64_t c = 0; c < half; ++c) {
    const float re = r[c] * x[c] - ri[c] * xi[c];
    oi[c] = r[c] * xi[c] + ri[c] * x[c];
    out[c] = re;
  }
}

/// dx (+)= conj(r) d, dr (+)= conj(x) d
template <bool add_x, bool add_r>
void complex_gradient(int64_t half, const float* r, const float* x, const float* d, float* dx,
                      float* dr) {
  const float *ri = r + half, *xi = x + half, *di = d + half;
  float *dxi = dx + half, *dri = dr + half;
#pragma omp simd
  for (int64_t c = 0; c < half; ++c) {
    const float a = r[c] * d[c] + ri[c] * di[c], b = r[c] * di[c] - ri[c] * d[c];
    const float e = x[c] * d[c] + xi[c] * di[c], f = x[c] * di[c] - xi[c] * d[c];
    dx[c] = add_x ? dx[c] + a : a;
    dxi[c] = add_x ? dxi[c] + b : b;
    dr[c] = add_r ? dr[c] + e : e;
    dri[c] = add_r ? dri[c] + f : f;
  }
}

template <bool add_x, bool add_r>
void gradient_row(Operator op, int64_t cols, const float* r, const float* x, const float* d,
                  float* dx, float* dr) {
  switch (op) {
    case Operator::complex_diagonal:
      return complex_gradient<add_x, add_r>(cols / 2, r, x, d, dx, dr);
    case Operator::diagonal:  // NOLINT(bugprone-branch-clone): loops under a pragma are one to it
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) {
        const float a = r[c] * d[c], e = x[c] * d[c];
        dx[c] = add_x ? dx[c] + a : a;
        dr[c] = add_r ? dr[c] + e : e;
      }
      return;
    case Operator::translation:
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) {
        dx[c] = add_x ? dx[c] + d[c] : d[c];
        dr[c] = add_r ? dr[c] + d[c] : d[c];
      }
      return;
    case Operator::none:
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) dx[c] = add_x ? dx[c] + d[c] : d[c];
      return;
    case Operator::linear:
    case Operator::affine:
      return;  // as products of whole matrices
  }
}

void linear_gradient(const OperatorRows& rows, int64_t count, const float* x, const float* dout,
                     AddTo add, float* dx, float* dparams) {
  const int64_t n = rows.cols;
  blas_gemm(false, false, count, n, n, 1.0F, dout, n, rows.params, n, add.x ? 1.0F : 0.0F, dx, n);
  blas_gemm(true, false, n, n, count, 1.0F, dout, n, x, n, add.params ? 1.0F : 0.0F, dparams, n);
  if (rows.op != Operator::affine) return;
  float* shift = dparams + n * n;
  if (!add.params) std::fill_n(shift, n, 0.0F);
  for (int64_t i = 0; i < count; ++i)
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) shift[c] += dout[i * n + c];
}

}  // namespace

void identity_operator(Operator op, int64_t cols, float* params) {
  std::fill_n(params, graph::parameters_of(op, cols), 0.0F);
  if (op == Operator::diagonal) std::fill_n(params, cols, 1.0F);
  if (op == Operator::complex_diagonal) std::fill_n(params, cols / 2, 1.0F);
  if (op == Operator::linear || op == Operator::affine)
    for (int64_t i = 0; i < cols; ++i) params[i * cols + i] = 1;
}

void apply_operator(const OperatorRows& rows, int64_t count, const float* x, float* out) {
  const int64_t n = rows.cols;
  if (rows.op == Operator::linear || rows.op == Operator::affine) {
    assert(rows.stride == 0);
    const bool affine = rows.op == Operator::affine;
    for (int64_t i = 0; affine && i < count; ++i) std::copy_n(rows.params + n * n, n, out + i * n);
    blas_gemm(false, true, count, n, n, 1.0F, x, n, rows.params, n, affine ? 1.0F : 0.0F, out, n);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const float *r = params_of(rows, i), *from = x + i * n;
    float* to = out + i * n;
    if (rows.op == Operator::complex_diagonal) {
      complex_row(n / 2, r, from, to);
    } else if (rows.op == Operator::diagonal) {  // NOLINT(bugprone-branch-clone): as above
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) to[c] = r[c] * from[c];
    } else if (rows.op == Operator::translation) {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) to[c] = r[c] + from[c];
    } else {
      std::copy_n(from, n, to);
    }
  }
}

void operator_gradient(const OperatorRows& rows, int64_t count, const float* x, const float* dout,
                       AddTo add, float* dx, float* dparams) {
  if (rows.op == Operator::linear || rows.op == Operator::affine)
    return linear_gradient(rows, count, x, dout, add, dx, dparams);
  const int64_t n = rows.cols;
  const auto row = add.x ? (add.params ? gradient_row<true, true> : gradient_row<true, false>)
                         : (add.params ? gradient_row<false, true> : gradient_row<false, false>);
  const auto row_again = add.x ? gradient_row<true, true> : gradient_row<false, true>;
  int32_t used = 0;  // slots
  for (int64_t i = 0; i < count; ++i) {
    const int32_t slot = rows.stride == 0 ? 0 : rows.slots[i];
    const auto step = slot == used ? row : row_again;
    if (slot == used) ++used;
    step(rows.op, n, params_of(rows, i), x + i * n, dout + i * n, dx + i * n,
         dparams + slot * rows.stride);
  }
}

}  // namespace meshplan::cpu
