// SPDX-License-Identifier: Apache-2.0
// What does a row take whose relation has an operator? See graph_code.hpp.
#pragma once
#include "profiler/cuda/graph_values.hpp"

namespace meshplan::graph::code {

MESHPLAN_CODE const float* params_of(const DeviceOperator& o, int64_t row) {
  return o.relations == nullptr ? o.params : o.params + o.relations[row] * o.parameters;
}

/// Values of g(x), other operators than complex_diagonal.
template <int N>
MESHPLAN_CODE Values<N> operated(Operator op, const Values<N>& r, const Values<N>& x) {
  Values<N> y = x;
  for (int k = 0; k < N; ++k) {
    if (op == Operator::diagonal) y.v[k] = r.v[k] * x.v[k];
    if (op == Operator::translation) y.v[k] = r.v[k] + x.v[k];
  }
  return y;
}
/// Halves of complex numbers a + bi.
template <int N>
struct Complex {
  Values<N> a, b;
};
template <int N>
MESHPLAN_CODE Complex<N> complex_of(const float* row, int64_t at, int64_t half) {
  return {values<N>(row, at), values<N>(row, at + half)};
}
template <int N>
MESHPLAN_CODE void put(float* row, int64_t at, int64_t half, const Complex<N>& x) {
  values<N>(row, at) = x.a;
  values<N>(row, at + half) = x.b;
}
template <int N>
MESHPLAN_CODE Complex<N> times(const Complex<N>& r, const Complex<N>& x) {
  Complex<N> y;
  for (int k = 0; k < N; ++k) {
    y.a.v[k] = r.a.v[k] * x.a.v[k] - r.b.v[k] * x.b.v[k];
    y.b.v[k] = r.a.v[k] * x.b.v[k] + r.b.v[k] * x.a.v[k];
  }
  return y;
}
/// The conjugate of p times d: the gradient of either factor, from the other and that of g(x).
template <int N>
MESHPLAN_CODE Complex<N> conjugate_times(const Complex<N>& p, const Complex<N>& d) {
  Complex<N> y;
  for (int k = 0; k < N; ++k) {
    y.a.v[k] = p.a.v[k] * d.a.v[k] + p.b.v[k] * d.b.v[k];
    y.b.v[k] = p.a.v[k] * d.b.v[k] - p.b.v[k] * d.a.v[k];
  }
  return y;
}
/// Value c of dr from d.
MESHPLAN_CODE float slope_of_r(const DeviceOperator& o, const float* x, const float* d, int64_t c) {
  const int64_t half = o.cols / 2, at = c < half ? c : c - half;
  if (o.op != Operator::complex_diagonal) return o.op == Operator::diagonal ? x[c] * d[c] : d[c];
  const Complex<1> slope = conjugate_times(complex_of<1>(x, at, half), complex_of<1>(d, at, half));
  return c < half ? slope.a.v[0] : slope.b.v[0];
}

template <int N, class Team>
MESHPLAN_CODE void operate_by(const DeviceOperate& o, int64_t row, const Team& team) {
  const int64_t chunk = row / o.op.rows, i = row % o.op.rows, cols = o.op.cols, half = cols / 2;
  const float *r = params_of(o.op, row), *x = row_of(o.x, chunk, i, cols);
  float* out = o.narrow == nullptr ? row_of(o.out, chunk, i, cols) : nullptr;
  uint16_t* narrow = o.narrow == nullptr ? nullptr : o.narrow + (chunk * o.out.slots + i) * cols;
  if (o.op.op != Operator::complex_diagonal) {
    for (int64_t c = N * team.rank(); c < cols; c += N * team.size()) {
      const Values<N> own = values<N>(x, c);
      const bool moved = o.op.parameters > 0;
      const Values<N> y = operated(o.op.op, moved ? values<N>(r, c) : own, own);
      if (narrow != nullptr)
        put_narrow(narrow, c, y);
      else
        values<N>(out, c) = y;
    }
    return;
  }
  for (int64_t c = N * team.rank(); c < half; c += N * team.size()) {
    const Complex<N> y = times(complex_of<N>(r, c, half), complex_of<N>(x, c, half));
    if (narrow != nullptr) {
      put_narrow(narrow, c, y.a);
      put_narrow(narrow, c + half, y.b);
    } else {
      put(out, c, half, y);
    }
  }
}
/// Halves of rows begin at 16 bytes, or at 8.
MESHPLAN_CODE bool by_four(const DeviceOperator& o) {
  return o.op != Operator::complex_diagonal || o.cols % 8 == 0;
}
template <class Team>
MESHPLAN_CODE void operate_row(const DeviceOperate& o, int64_t row, const Team& team) {
  by_four(o.op) ? operate_by<4>(o, row, team) : operate_by<2>(o, row, team);
}

template <int N, class Team>
MESHPLAN_CODE void operator_gradient_by(const DeviceOperatorGradient& g, int64_t row,
                                        const Team& team) {
  const DeviceOperator& o = g.op;
  const int64_t chunk = row / o.rows, i = row % o.rows, half = o.cols / 2;
  const float *r = params_of(o, row), *d = row_of(g.d, chunk, i, o.cols);
  float* dx = row_of(g.dx, chunk, i, o.cols);
  const float* x = row_of(g.x, chunk, i, o.cols);
  float* dr = o.relations == nullptr ? nullptr : g.dparams + row * o.parameters;
  const auto add = [&](int64_t c, Values<N> slope) {
    if (g.add) {
      const Values<N> before = values<N>(dx, c);
      for (int k = 0; k < N; ++k) slope.v[k] += before.v[k];
    }
    values<N>(dx, c) = slope;
  };
  if (o.op == Operator::complex_diagonal) {
    for (int64_t c = N * team.rank(); c < half; c += N * team.size()) {
      const Complex<N> slope = complex_of<N>(d, c, half);
      const Complex<N> of_x = conjugate_times(complex_of<N>(r, c, half), slope);
      add(c, of_x.a);
      add(c + half, of_x.b);
      if (dr != nullptr) put(dr, c, half, conjugate_times(complex_of<N>(x, c, half), slope));
    }
    return;
  }
  const bool diagonal = o.op == Operator::diagonal;
  for (int64_t c = N * team.rank(); c < o.cols; c += N * team.size()) {
    const Values<N> slope = values<N>(d, c);
    add(c, diagonal ? operated(o.op, values<N>(r, c), slope) : slope);
    if (dr != nullptr && o.parameters > 0)
      values<N>(dr, c) = diagonal ? operated(o.op, values<N>(x, c), slope) : slope;
  }
}
/// dx of a row, and its operator's gradient where it has its own.
template <class Team>
MESHPLAN_CODE void operator_gradient_row(const DeviceOperatorGradient& g, int64_t row,
                                         const Team& team) {
  by_four(g.op) ? operator_gradient_by<4>(g, row, team) : operator_gradient_by<2>(g, row, team);
}
/// Value c of a chunk's operator's gradient: of rows first, first + stride, ...
MESHPLAN_CODE float operator_column(const DeviceOperatorGradient& g, int64_t chunk, int64_t c,
                                    int64_t first, int64_t stride) {
  float sum = 0;
  for (int64_t i = first; i < g.op.rows; i += stride)
    sum += slope_of_r(g.op, row_of(g.x, chunk, i, g.op.cols), row_of(g.d, chunk, i, g.op.cols), c);
  return sum;
}

}  // namespace meshplan::graph::code
