// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_loss.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "profiler/kernels/vector_math.hpp"

namespace meshplan::cpu {
namespace {

// Score of what is no negative: its exponential is 0 and no hinge reaches it.
constexpr float kMasked = -1e30F;

double softmax_row(int64_t n, int64_t positive, float weight, float* s) {
  float top = s[0];
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < n; ++j) top = s[j] > top ? s[j] : top;  // std::max is no vector code
  const float wanted = s[positive];
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    s[j] = fast_exp(s[j] - top);
    sum += s[j];
  }
  const float scale = weight / sum;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) s[j] *= scale;
  s[positive] -= weight;
  return static_cast<double>(weight) * (std::log(static_cast<double>(sum)) + top - wanted);
}

double logistic_row(int64_t n, int64_t candidates, int64_t positive, float weight, float* s) {
  const float wanted = s[positive];
  s[positive] = kMasked;
  const float each = weight / static_cast<float>(candidates);
  // The logarithms of a block are one logarithm of a product of factors between 1 and 2.
  constexpr int64_t kBlock = 64;
  double loss = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    float product = 1, linear = 0;
#pragma omp simd reduction(* : product) reduction(+ : linear)
    for (int64_t j = begin; j < end; ++j) {
      const float e = fast_exp(-std::fabs(s[j]));
      const bool up = s[j] > 0;
      linear += up ? s[j] : 0.0F;
      product *= 1 + e;
      s[j] = each * (up ? 1.0F : e) / (1 + e);
    }
    loss += std::log(static_cast<double>(product)) + static_cast<double>(linear);
  }
  s[positive] = -weight * sigmoid(-wanted);
  const double w = static_cast<double>(wanted);
  const double first = w > 0 ? std::log1p(std::exp(-w)) : std::log1p(std::exp(w)) - w;
  return static_cast<double>(weight) * first + static_cast<double>(each) * loss;
}

double ranking_row(int64_t n, int64_t positive, float weight, float margin, float* s) {
  const float shift = margin - s[positive];
  s[positive] = kMasked;
  float loss = 0, count = 0;
#pragma omp simd reduction(+ : loss, count)
  for (int64_t j = 0; j < n; ++j) {
    const float over = shift + s[j];
    const float one = over > 0 ? 1.0F : 0.0F;
    loss += over > 0 ? over : 0.0F;
    count += one;
    s[j] = one * weight;
  }
  s[positive] = -weight * count;
  return static_cast<double>(weight) * static_cast<double>(loss);
}

/// Takes away what is no negative of row i.
void mask_row(const LossRows& rows, int64_t edges, int64_t n, int64_t i, float* s) {
  const float wanted = s[i];
  if (rows.mask_batch) std::fill_n(s, edges, kMasked);
  if (rows.ids != nullptr) {
    const int32_t answer = rows.ids[i], *ids = rows.ids;
    const int64_t known = rows.own ? n - 1 : n;
#pragma omp simd
    for (int64_t j = 0; j < known; ++j) s[j] = ids[j] == answer ? kMasked : s[j];
  }
  s[i] = wanted;
  if (rows.own && rows.loops[i] != 0) s[n - 1] = kMasked;
}

}  // namespace

double loss_gradient(const LossRows& rows, int64_t edges, int64_t candidates, int64_t stride,
                     float* scores) {
  double loss = 0;
  for (int64_t i = 0; i < edges; ++i) {
    float* s = scores + i * stride;
    const float weight = rows.scale * (rows.weights != nullptr ? rows.weights[i] : 1.0F);
    mask_row(rows, edges, candidates, i, s);
    std::fill(s + candidates, s + stride, kMasked);
    switch (rows.loss) {
      case graph::Loss::softmax:
        loss += softmax_row(stride, i, weight, s);
        break;
      case graph::Loss::logistic:
        loss += logistic_row(stride, candidates, i, weight, s);
        break;
      case graph::Loss::ranking:
        loss += ranking_row(stride, i, weight, rows.margin, s);
        break;
    }
  }
  return loss;
}

}  // namespace meshplan::cpu
