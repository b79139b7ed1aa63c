// SPDX-License-Identifier: Apache-2.0
// What does a row of scores take: its loss, and their gradients in their place? See graph_code.hpp.
#pragma once
#include "profiler/cuda/graph_values.hpp"

namespace meshplan::graph::code {

inline constexpr float kMasked = -1e30F;  // score of what is no negative

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

}  // namespace meshplan::graph::code
