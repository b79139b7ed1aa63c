// SPDX-License-Identifier: Apache-2.0
// What does a row of a batch of edges take? The code of the kernels of graph_batch.cu and
// graph_step.cu, which a compiler for the CPU takes as well: a test runs it there
// (tests/unit/validate/host_graph_device.hpp).
//
// A team works on a row: threads of a block, or the CPU alone. It has rank(), size(), wait(), and
// sum(x) and most(x) over all its threads, which wait for each other in them.
#pragma once
#include "profiler/cuda/graph_operators.hpp"
#include "profiler/cuda/graph_scores.hpp"
#include "profiler/cuda/graph_touches.hpp"

namespace meshplan::graph::code {

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

}  // namespace meshplan::graph::code
