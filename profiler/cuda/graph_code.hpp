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
#else
#include "profiler/kernels/elementwise.hpp"
#define MESHPLAN_CODE inline
#endif

namespace meshplan::graph::code {

/// 16 bytes of a row, which one thread moves at once; rows are of multiples of four values.
struct alignas(16) Four {
  float v[4];
};
struct alignas(8) NarrowFour {
  uint16_t v[4];
};
MESHPLAN_CODE Four& four(float* row, int64_t i) { return reinterpret_cast<Four*>(row)[i]; }
MESHPLAN_CODE const Four& four(const float* row, int64_t i) {
  return reinterpret_cast<const Four*>(row)[i];
}
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
  float* out = g.out + row * g.cols;
  const float* from = nullptr;
  if (id != kNoRow) {
    const DevicePart& part = part_with(g.table, &DevicePart::place, id);
    from = part.values + (id - part.place) * g.cols;
  }
  for (int64_t i = team.rank(); i < g.cols / 4; i += team.size()) {
    const Four x = from == nullptr ? Four{} : four(from, i);
    four(out, i) = x;
    if (g.narrow == nullptr) continue;
    reinterpret_cast<NarrowFour*>(g.narrow + row * g.cols)[i] = {
        {rounded(x.v[0]), rounded(x.v[1]), rounded(x.v[2]), rounded(x.v[3])}};
  }
}

MESHPLAN_CODE float* row_of(const ChunkRows& rows, int64_t chunk, int64_t i, int64_t cols) {
  return rows.data + (chunk * rows.slots + i) * cols;
}
MESHPLAN_CODE const float* params_of(const DeviceOperator& o, int64_t row) {
  return o.relations == nullptr ? o.params : o.params + o.relations[row] * o.parameters;
}

/// Value c of g(x).
MESHPLAN_CODE float operated(const DeviceOperator& o, const float* r, const float* x, int64_t c) {
  const int64_t half = o.cols / 2;
  switch (o.op) {
    case Operator::diagonal:
      return r[c] * x[c];
    case Operator::translation:
      return r[c] + x[c];
    case Operator::complex_diagonal:
      return c < half ? r[c] * x[c] - r[c + half] * x[c + half]
                      : r[c - half] * x[c] + r[c] * x[c - half];
    default:
      return x[c];
  }
}
/// Value c of dx from d, of g(x).
MESHPLAN_CODE float slope_of_x(const DeviceOperator& o, const float* r, const float* d, int64_t c) {
  const int64_t half = o.cols / 2;
  switch (o.op) {
    case Operator::diagonal:
      return r[c] * d[c];
    case Operator::complex_diagonal:
      return c < half ? r[c] * d[c] + r[c + half] * d[c + half]
                      : r[c - half] * d[c] - r[c] * d[c - half];
    default:
      return d[c];
  }
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

template <class Team>
MESHPLAN_CODE void operate_row(const DeviceOperate& o, int64_t row, const Team& team) {
  const int64_t chunk = row / o.op.rows, i = row % o.op.rows;
  const float *r = params_of(o.op, row), *x = row_of(o.x, chunk, i, o.op.cols);
  float* out = row_of(o.out, chunk, i, o.op.cols);
  uint16_t* narrow =
      o.narrow == nullptr ? nullptr : o.narrow + (chunk * o.out.slots + i) * o.op.cols;
  for (int64_t c = team.rank(); c < o.op.cols; c += team.size()) {
    const float y = operated(o.op, r, x, c);
    out[c] = y;
    if (narrow != nullptr) narrow[c] = rounded(y);
  }
}

/// dx of a row, and its operator's gradient where it has its own.
template <class Team>
MESHPLAN_CODE void operator_gradient_row(const DeviceOperatorGradient& g, int64_t row,
                                         const Team& team) {
  const DeviceOperator& o = g.op;
  const int64_t chunk = row / o.rows, i = row % o.rows;
  const float *r = params_of(o, row), *d = row_of(g.d, chunk, i, o.cols);
  float* dx = row_of(g.dx, chunk, i, o.cols);
  for (int64_t c = team.rank(); c < o.cols; c += team.size()) {
    const float slope = slope_of_x(o, r, d, c);
    dx[c] = g.add ? dx[c] + slope : slope;
  }
  if (o.relations == nullptr) return;
  const float* x = row_of(g.x, chunk, i, o.cols);
  float* dr = g.dparams + row * o.parameters;
  for (int64_t c = team.rank(); c < o.parameters; c += team.size()) dr[c] = slope_of_r(o, x, d, c);
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

template <class Team>
MESHPLAN_CODE void loss_row(const DeviceLoss& l, int64_t row, const Team& team) {
  const int64_t chunk = row / l.edges, i = row % l.edges, n = l.candidates;
  float* s = l.scores + row * l.slots;
  const int32_t* ids = l.ids == nullptr ? nullptr : l.ids + chunk * l.slots;
  const float weight = l.scale * (l.weights == nullptr ? 1.0F : l.weights[row]);
  const float wanted = s[i];
  const auto score = [&](int64_t j) {
    const bool masked =
        j != i && ((l.mask_batch && j < l.edges) || (ids != nullptr && ids[j] == ids[i]));
    return masked ? kMasked : s[j];
  };
  const auto put = [&](int64_t j, float slope) {
    if (l.narrow != nullptr)
      l.narrow[row * l.slots + j] = rounded(slope);
    else
      s[j] = slope;
  };
  team.wait();  // all have read the positive score
  float loss = 0;
  if (l.loss == Loss::softmax) {
    float top = kMasked;
    for (int64_t j = team.rank(); j < n; j += team.size()) top = std::fmax(top, score(j));
    top = team.most(top);
    float sum = 0;
    for (int64_t j = team.rank(); j < n; j += team.size()) {
      s[j] = std::exp(score(j) - top);
      sum += s[j];
    }
    sum = team.sum(sum);
    const float factor = weight / sum;
    for (int64_t j = team.rank(); j < n; j += team.size())
      put(j, j == i ? factor * s[j] - weight : factor * s[j]);
    loss = weight * (std::log(sum) + top - wanted);
  } else if (l.loss == Loss::logistic) {
    const float each = weight / static_cast<float>(n);
    for (int64_t j = team.rank(); j < n; j += team.size()) {
      const float x = score(j);
      if (j != i) loss += each * softplus(x);
      put(j, j == i ? -weight * logistic(-wanted) : each * logistic(x));
    }
    loss = team.sum(loss) + weight * softplus(-wanted);
  } else {
    float over = 0;
    for (int64_t j = team.rank(); j < n; j += team.size()) {
      const float above = l.margin - wanted + score(j);
      const bool counts = j != i && above > 0;
      loss += counts ? weight * above : 0.0F;
      over += counts ? 1.0F : 0.0F;
      if (j != i) put(j, counts ? weight : 0.0F);
    }
    loss = team.sum(loss);
    over = team.sum(over);
    if (team.rank() == 0) put(i, -weight * over);
  }
  for (int64_t j = n + team.rank(); j < l.slots; j += team.size()) put(j, 0);
  if (team.rank() == 0) l.losses[row] += loss;
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
/// If a piece begins here: its sum, into its first gradient.
template <class Team>
MESHPLAN_CODE void sum_piece(const DeviceStep& s, const SortedTouches& t, int64_t at,
                             const Team& team) {
  if (t.id[at] == static_cast<uint32_t>(kNoRow) || (at % kTouches != 0 && !begins(t, at))) return;
  int64_t end = at + 1;
  while (end < t.count && end % kTouches != 0 && t.id[end] == t.id[at]) ++end;
  if (end == at + 1) return;
  float* to = s.gradient + t.position[at] * s.cols;
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size()) {
    Four sum = four(to, c);
    for (int64_t u = at + 1; u < end; ++u) sum = sum + four(s.gradient + t.position[u] * s.cols, c);
    four(to, c) = sum;
  }
}
/// If a row's gradients begin here: the sum of its pieces, and its step.
template <class Team>
MESHPLAN_CODE void step_row(const DeviceStep& s, const SortedTouches& t, int64_t at,
                            const Team& team) {
  if (!begins(t, at)) return;
  const auto id = static_cast<int64_t>(t.id[at]);
  float* g = s.gradient + t.position[at] * s.cols;
  const int64_t next = (at / kTouches + 1) * kTouches;
  float squares = 0;
  for (int64_t c = team.rank(); c < s.cols / 4; c += team.size()) {
    Four sum = four(g, c);
    for (int64_t u = next; u < t.count && t.id[u] == t.id[at]; u += kTouches)
      sum = sum + four(s.gradient + t.position[u] * s.cols, c);
    four(g, c) = sum;
    for (const float x : sum.v) squares += x * x;
  }
  if (s.table.count == 0) {  // every value by itself
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
    return;
  }
  const DevicePart& part = part_with(s.table, &DevicePart::place, id);
  float* row = part.values + (id - part.place) * s.cols;
  float* sum = part.sums + (id - part.place);
  const float before = *sum;
  const float total = before + team.sum(squares) / static_cast<float>(s.cols);
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
