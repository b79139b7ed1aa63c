// SPDX-License-Identifier: Apache-2.0
#include "costmodel/collectives/normal.hpp"

#include <cmath>

namespace meshplan {

double normal_quantile(double p) {
  double low = -40, high = 40;
  while (high - low > 1e-10) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double expected_maximum(int64_t n) {
  if (n <= 1) return 0;
  const auto count = static_cast<double>(n);
  return normal_quantile((count - 0.375) / (count + 0.25));
}

}  // namespace meshplan
