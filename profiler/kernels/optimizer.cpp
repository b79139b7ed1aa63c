// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace meshplan::cpu {

void adamw_step(Workers& workers, const AdamW& adamw, int64_t step, double gradient_factor,
                int64_t count, const float* gradient, float* weight, float* first, float* second) {
  const double number = static_cast<double>(step);
  const double correction1 = 1 - std::pow(adamw.beta1, number);
  const double correction2 = 1 - std::pow(adamw.beta2, number);
  const float factor = static_cast<float>(gradient_factor);
  const float keep = static_cast<float>(1 - adamw.learning_rate * adamw.weight_decay);
  const float take1 = static_cast<float>(1 - adamw.beta1);
  const float keep2 = static_cast<float>(adamw.beta2);
  const float take2 = static_cast<float>(1 - adamw.beta2);
  const float rate = static_cast<float>(adamw.learning_rate / correction1);
  const float root = static_cast<float>(1 / std::sqrt(correction2));
  const float epsilon = static_cast<float>(adamw.epsilon);
  workers.split(count, 4096, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = factor * gradient[i];
      const float m = first[i] + take1 * (g - first[i]);
      const float v = keep2 * second[i] + take2 * g * g;
      first[i] = m;
      second[i] = v;
      weight[i] = keep * weight[i] - rate * m / (std::sqrt(v) * root + epsilon);
    }
  });
}

double clip_factor(double norm, double limit) {
  return limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
}

}  // namespace meshplan::cpu
