// SPDX-License-Identifier: Apache-2.0
// What does a row take that a batch has gradients of: their sum in a fixed order, and its step? See
// graph_code.hpp.
#pragma once
#include "profiler/cuda/graph_values.hpp"

namespace meshplan::graph::code {

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
