// SPDX-License-Identifier: Apache-2.0
// What does a row of a batch of edges take? The code of the kernels of graph_batch.cu and
// graph_step.cu, which a compiler for the CPU takes as well: a test runs it there
// (tests/unit/validate/host_graph_device.hpp).
//
// A team works on a row: threads of a block, or the CPU alone. It has rank(), size(), wait(), and
// sum(x) and most(x) over all its threads, which wait for each other in them.
#pragma once
#include <cmath>

#include "profiler/kernels/graph_device.hpp"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define MESHPLAN_CODE __device__ inline
#define MESHPLAN_UNROLL _Pragma("unroll")
#define MESHPLAN_PREFETCH(address) asm volatile("prefetch.global.L2 [%0];" ::"l"(address))
#else
#include "profiler/kernels/elementwise.hpp"
#define MESHPLAN_CODE inline
#define MESHPLAN_UNROLL
#define MESHPLAN_PREFETCH(address) __builtin_prefetch(address)
#endif

namespace meshplan::graph::code {

/// Values of a row that one thread moves at once, 16 bytes where there are four; rows are of
/// multiples of four values, halves of rows of two.
template <int N>
struct alignas(4 * N) Values {
  float v[N];
};
using Four = Values<4>;
template <int N>
struct alignas(2 * N) Narrow {
  uint16_t v[N];
};
template <int N>
MESHPLAN_CODE Values<N>& values(float* row, int64_t at) {
  return *reinterpret_cast<Values<N>*>(row + at);
}
template <int N>
MESHPLAN_CODE const Values<N>& values(const float* row, int64_t at) {
  return *reinterpret_cast<const Values<N>*>(row + at);
}
MESHPLAN_CODE Four& four(float* row, int64_t i) { return values<4>(row, 4 * i); }
MESHPLAN_CODE const Four& four(const float* row, int64_t i) { return values<4>(row, 4 * i); }
MESHPLAN_CODE Four operator+(const Four& a, const Four& b) {
  return {{a.v[0] + b.v[0], a.v[1] + b.v[1], a.v[2] + b.v[2], a.v[3] + b.v[3]}};
}

MESHPLAN_CODE uint16_t rounded(float x) {
#ifdef __CUDACC__
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
#else
  return cpu::bf16_of(x);
#endif
}

template <int N>
MESHPLAN_CODE void put_narrow(uint16_t* row, int64_t at, const Values<N>& x) {
  Narrow<N> out;
  for (int k = 0; k < N; ++k) out.v[k] = rounded(x.v[k]);
  *reinterpret_cast<Narrow<N>*>(row + at) = out;
}

inline constexpr float kMasked = -1e30F;  // score of what is no negative

/// The last part that begins at `value` or before; parts are few.
MESHPLAN_CODE const DevicePart& part_with(const DeviceParts& table, int64_t DevicePart::*begin,
                                          int64_t value) {
  int64_t at = table.count - 1;
  while (at > 0 && table.parts[at].*begin > value) --at;
  return table.parts[at];
}

MESHPLAN_CODE int64_t drawn_edge(const DeviceDraw& d, int64_t i) {
  const int64_t place = d.order(d.from + i);
  int64_t low = 0, high = d.piece_count - 1;  // the last piece that begins at `place` or before
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (d.pieces[middle].place > place)
      high = middle - 1;
    else
      low = middle;
  }
  return d.pieces[low].begin + place - d.pieces[low].place;
}

/// Slot s of one end, and with the left end what belongs to the edge.
template <End end>
MESHPLAN_CODE void draw_slot(const ChunkGrid& g, const DeviceDraw& d, int64_t s) {
  const int64_t chunk = s / g.slots[end], j = s % g.slots[end], uniform = j - g.edges;
  int32_t id = kNoRow;
  if (j < g.edges) {
    const int64_t i = chunk * g.edges + j, edge = drawn_edge(d, i);
    const int32_t entity = d.edges[end][edge];
    const DevicePart& part = part_with(d.rows[end], &DevicePart::first, entity);
    id = static_cast<int32_t>(entity - part.first + part.place);
    if (end == left && d.relations != nullptr) d.relations[i] = d.edge_relation[edge];
    if (end == left && d.weights != nullptr) d.weights[i] = d.edge_weight[edge];
  } else if (uniform < g.uniform[end]) {
    const int64_t n = d.drawn[end] + chunk * g.uniform[end] + uniform;
    id =
        static_cast<int32_t>(below(mix64(d.key[end] + static_cast<uint64_t>(n)), d.rows[end].rows));
  }
  d.ids[end][s] = id;
}

template <class Team>
MESHPLAN_CODE void gather_row(const DeviceGather& g, int64_t row, const Team& team) {
  const int32_t id = g.ids[row];
  const bool wide = g.narrow == nullptr || row % g.slots < g.wide;
  const float* from = nullptr;
  if (id != kNoRow) {
    const DevicePart& part = part_with(g.table, &DevicePart::place, id);
    from = part.values + (id - part.place) * g.cols;
  }
  for (int64_t i = team.rank(); i < g.cols / 4; i += team.size()) {
    const Four x = from == nullptr ? Four{} : four(from, i);
    if (wide) four(g.out + row * g.cols, i) = x;
    if (g.narrow != nullptr) put_narrow(g.narrow + row * g.cols, 4 * i, x);
  }
}

MESHPLAN_CODE float* row_of(const ChunkRows& rows, int64_t chunk, int64_t i, int64_t cols) {
  return rows.data + (chunk * rows.slots + i) * cols;
}
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
  const int64_t half = o.cols / 2;
  switch (o.op) {
    case Operator::diagonal:
      return x[c] * d[c];
    case Operator::complex_diagonal:
      return c < half ? x[c] * d[c] + x[c + half] * d[c + half]
                      : x[c - half] * d[c] - x[c] * d[c - half];
    default:
      return d[c];
  }
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

MESHPLAN_CODE float softplus(float x) {
  return (x > 0 ? x : 0.0F) + std::log1p(std::exp(-std::fabs(x)));
}
MESHPLAN_CODE float logistic(float x) { return 1 / (1 + std::exp(-x)); }

/// A row of scores where it lies.
struct ScoresInMemory {
  float* row;
  int64_t slots;
  /// f(j, score j) of those that this thread has.
  template <class Team, class F>
  MESHPLAN_CODE void each(const Team& team, const F& f) {
    for (int64_t j = team.rank(); j < slots; j += team.size()) f(j, row[j]);
  }
  template <class Team>
  MESHPLAN_CODE void store(const Team& team, uint16_t* narrow) const {
    for (int64_t j = team.rank(); narrow != nullptr && j < slots; j += team.size())
      narrow[j] = rounded(row[j]);
  }
};
/// Up to 4 N scores of each thread in its registers: read once, written once. Slots are multiples
/// of four.
template <int N>
struct ScoresHeld {
  float* row;
  int64_t slots;
  Four held[N];
  template <class Team>
  MESHPLAN_CODE ScoresHeld(float* from, int64_t count, const Team& team) : row(from), slots(count) {
    MESHPLAN_UNROLL for (int k = 0; k < N; ++k) {
      const int64_t i = team.rank() + k * team.size();
      held[k] = 4 * i < slots ? four(row, i) : Four{};
    }
  }
  template <class Team, class F>
  MESHPLAN_CODE void each(const Team& team, const F& f) {
    MESHPLAN_UNROLL for (int k = 0; k < N; ++k) {
      const int64_t i = team.rank() + k * team.size();
      if (4 * i >= slots) continue;
      MESHPLAN_UNROLL for (int e = 0; e < 4; ++e) f(4 * i + e, held[k].v[e]);
    }
  }
  template <class Team>
  MESHPLAN_CODE void store(const Team& team, uint16_t* narrow) const {
    MESHPLAN_UNROLL for (int k = 0; k < N; ++k) {
      const int64_t i = team.rank() + k * team.size();
      if (4 * i >= slots) continue;
      if (narrow != nullptr)
        put_narrow(narrow, 4 * i, held[k]);
      else
        four(row, i) = held[k];
    }
  }
};

template <class Team, class Scores>
MESHPLAN_CODE void loss_row(const DeviceLoss& l, int64_t row, const Team& team, Scores& scores) {
  const int64_t chunk = row / l.edges, i = row % l.edges, n = l.candidates;
  const int32_t* ids = l.ids == nullptr ? nullptr : l.ids + chunk * l.slots;
  const float weight = l.scale * (l.weights == nullptr ? 1.0F : l.weights[row]);
  const float wanted = scores.row[i];
  team.wait();  // all have read the positive score
  const auto masked = [&](int64_t j) {
    return j != i && ((l.mask_batch && j < l.edges) || (ids != nullptr && ids[j] == ids[i]));
  };
  // beyond the candidates there is nothing: those slopes are zero
  scores.each(team, [&](int64_t j, float& s) {
    if (j >= n || masked(j)) s = kMasked;
  });
  float loss = 0;
  if (l.loss == Loss::softmax) {
    float top = kMasked, sum = 0;
    scores.each(team, [&](int64_t, float& s) { top = std::fmax(top, s); });
    top = team.most(top);
    scores.each(team, [&](int64_t j, float& s) {
      s = j < n ? std::exp(s - top) : 0.0F;
      sum += s;
    });
    sum = team.sum(sum);
    const float factor = weight / sum;
    scores.each(team, [&](int64_t j, float& s) { s = j == i ? factor * s - weight : factor * s; });
    loss = weight * (std::log(sum) + top - wanted);
  } else if (l.loss == Loss::logistic) {
    const float each = weight / static_cast<float>(n);
    scores.each(team, [&](int64_t j, float& s) {
      if (j != i && j < n) loss += each * softplus(s);
      s = j == i ? -weight * logistic(-wanted) : j < n ? each * logistic(s) : 0.0F;
    });
    loss = team.sum(loss) + weight * softplus(-wanted);
  } else {
    float over = 0;
    scores.each(team, [&](int64_t j, float& s) {
      const float above = l.margin - wanted + s;
      const bool counts = j != i && j < n && above > 0;
      loss += counts ? weight * above : 0.0F;
      over += counts ? 1.0F : 0.0F;
      s = counts ? weight : 0.0F;
    });
    loss = team.sum(loss);
    over = team.sum(over);
    scores.each(team, [&](int64_t j, float& s) {
      if (j == i) s = -weight * over;
    });
  }
  scores.store(team, l.narrow == nullptr ? nullptr : l.narrow + row * l.slots);
  if (team.rank() == 0) l.losses[row] += loss;
}
MESHPLAN_CODE float* scores_of(const DeviceLoss& l, int64_t row) {
  return l.scores + row * l.slots;
}

template <class Team>
MESHPLAN_CODE void n3_row(const DeviceN3& n, int64_t row, const Team& team) {
  const int64_t chunk = row / n.rows, i = row % n.rows, half = n.cols / 2;
  const float* x = n.index == nullptr ? row_of(n.x, chunk, i, n.cols)
                                      : n.x.data + static_cast<int64_t>(n.index[row]) * n.cols;
  float* g = row_of(n.g, chunk, i, n.cols);
  float sum = 0;
  for (int64_t c = team.rank(); c < n.cols; c += team.size()) {
    const float other = !n.halves ? 0.0F : x[c < half ? c + half : c - half];
    const float square = x[c] * x[c] + other * other, modulus = std::sqrt(square);
    sum += n.halves && c >= half ? 0.0F : square * modulus;
    g[c] += 3 * n.factor * modulus * x[c];
  }
  sum = team.sum(sum);
  if (team.rank() == 0) n.losses[chunk * n.loss_stride + i] += n.factor * sum;
}

template <class Team>
MESHPLAN_CODE void add_row(const DeviceAdd& a, int64_t row, const Team& team) {
  const int64_t chunk = row / a.rows, i = row % a.rows;
  const float* from = row_of(a.from, chunk, i, a.cols);
  float* to = row_of(a.to, chunk, i, a.cols);
  for (int64_t c = team.rank(); c < a.cols / 4; c += team.size())
    four(to, c) = four(to, c) + four(from, c);
}

/// Gradients by row: ids and their positions, sorted by id, equal ones by position.
struct SortedTouches {
  const uint32_t* id;
  const int32_t* position;
  int64_t count;
};
/// Long runs of equal ids are summed in pieces that end at multiples of it.
inline constexpr int64_t kTouches = 32;

MESHPLAN_CODE bool begins(const SortedTouches& t, int64_t at) {
  return t.id[at] != static_cast<uint32_t>(kNoRow) && (at == 0 || t.id[at] != t.id[at - 1]);
}
/// Gradients of touches from, from + stride, ... added to `sum` as long as they are of touch `at`'s
/// row and before `end`. Several are on their way at a time.
MESHPLAN_CODE Four add_gradients(const DeviceStep& s, const SortedTouches& t, int64_t at,
                                 int64_t from, int64_t stride, int64_t end, int64_t c, Four sum) {
  constexpr int kAhead = 8;
  for (int64_t u = from;; u += kAhead * stride) {
    int mine = 0;  // the first ones: touches are sorted
    MESHPLAN_UNROLL for (int k = 0; k < kAhead; ++k) {
      const int64_t touch = u + k * stride;
      mine += touch < end && t.id[touch] == t.id[at] ? 1 : 0;
    }
    Four part[kAhead];  // without branches, so that all loads come before the first sum
    MESHPLAN_UNROLL for (int k = 0; k < kAhead; ++k) {
      const int64_t touch = k < mine ? u + k * stride : at;
      part[k] = four(s.gradient + t.position[touch] * s.cols, c);
    }
    MESHPLAN_UNROLL for (int k = 0; k < kAhead; ++k) if (k < mine) sum = sum + part[k];
    if (mine < kAhead) return sum;
  }
}
/// Pieces among kTouches touches from `first`: the sum of each into its first gradient.
template <class Team>
MESHPLAN_CODE void sum_pieces(const DeviceStep& s, const SortedTouches& t, int64_t first,
                              const Team& team) {
  const int64_t last = first + kTouches < t.count ? first + kTouches : t.count;
  for (int64_t at = first; at < last && t.id[at] != static_cast<uint32_t>(kNoRow);) {
    int64_t end = at + 1;
    while (end < last && t.id[end] == t.id[at]) ++end;
    float* to = s.gradient + t.position[at] * s.cols;
    for (int64_t c = team.rank(); end > at + 1 && c < s.cols / 4; c += team.size())
      four(to, c) = add_gradients(s, t, at, at + 1, 1, end, c, four(to, c));
    at = end;
  }
}
/// The sum of a row's pieces, which begin at `at`, into the first one; this thread's squares.
template <class Team>
MESHPLAN_CODE float sum_row(const DeviceStep& s, const SortedTouches& t, int64_t at, float* g,
                            const Team& team) {
  const int64_t next = (at / kTouches + 1) * kTouches;
  const bool more = next < t.count && t.id[next] == t.id[at];
  float squares = 0;
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size()) {
    Four sum = four(g, c);
    if (more) four(g, c) = sum = add_gradients(s, t, at, next, kTouches, t.count, c, sum);
    for (const float x : sum.v) squares += x * x;
  }
  return squares;
}
/// If a row's gradients begin here: its step, every value by itself.
template <class Team>
MESHPLAN_CODE void step_values(const DeviceStep& s, const SortedTouches& t, int64_t at,
                               const Team& team) {
  if (!begins(t, at)) return;
  const auto id = static_cast<int64_t>(t.id[at]);
  float* g = s.gradient + t.position[at] * s.cols;
  sum_row(s, t, at, g, team);
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size()) {
    const Four slope = four(g, c);
    Four sum = four(s.sums + id * s.cols, c), value = four(s.values + id * s.cols, c);
    for (int k = 0; k < 4; ++k) {
      sum.v[k] += slope.v[k] * slope.v[k];
      value.v[k] -= s.rate * slope.v[k] / (std::sqrt(sum.v[k]) + 1e-10F);
    }
    four(s.sums + id * s.cols, c) = sum;
    four(s.values + id * s.cols, c) = value;
  }
}
/// The same for a row of entities, row-wise.
template <class Team>
MESHPLAN_CODE void step_entity(const DeviceStep& s, const SortedTouches& t, int64_t at,
                               const Team& team) {
  if (!begins(t, at)) return;
  const auto id = static_cast<int64_t>(t.id[at]);
  const DevicePart& part = part_with(s.table, &DevicePart::place, id);
  float* row = part.values + (id - part.place) * s.cols;
  float* sum = part.sums + (id - part.place);
  // on their way while the gradients are summed
  constexpr int64_t kLine = 32;
  for (int64_t c = kLine * team.rank(); c < s.cols; c += kLine * team.size())
    MESHPLAN_PREFETCH(row + c);
  const float before = *sum;
  float* g = s.gradient + t.position[at] * s.cols;
  const float squares = team.sum(sum_row(s, t, at, g, team));
  const float total = before + squares / static_cast<float>(s.cols);
  if (team.rank() == 0) *sum = total;
  const float step = s.rate / (std::sqrt(total) + 1e-10F);
  float norm = 0;
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size()) {
    const Four slope = four(g, c);
    Four value = four(row, c);
    for (int k = 0; k < 4; ++k) {
      value.v[k] -= step * slope.v[k];
      norm += value.v[k] * value.v[k];
    }
    four(row, c) = value;
  }
  if (s.max_norm <= 0) return;
  norm = std::sqrt(team.sum(norm));
  if (norm <= s.max_norm) return;
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size())
    for (float& x : four(row, c).v) x *= s.max_norm / norm;
}

}  // namespace meshplan::graph::code
