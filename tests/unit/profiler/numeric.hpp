// SPDX-License-Identifier: Apache-2.0
// Random inputs, central differences and error measures for the tests of the CPU kernels.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "tests/unit/catch.hpp"

namespace meshplan::test {

using Doubles = std::vector<double>;

inline Doubles random_values(int64_t count, uint64_t seed, double low = -1, double high = 1) {
  std::mt19937_64 generator(seed);
  Doubles values(static_cast<size_t>(count));
  for (double& value : values) {
    value = low + (high - low) * static_cast<double>(generator() >> 11) * 0x1p-53;
  }
  return values;
}

template <class T>
std::vector<float> floats(const std::vector<T>& values) {
  return std::vector<float>(values.begin(), values.end());
}

inline double dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// ||a - b|| / ||b||.
template <class A, class B>
double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double delta = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += delta * delta;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / std::max(norm, 1e-300));
}

/// Gradient of `value` (which reads x) by central differences, every element.
inline Doubles central_differences(Doubles& x, const std::function<double()>& value) {
  Doubles gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double kept = x[i];
    const double step = 1e-5 * std::max(1.0, std::abs(kept));
    x[i] = kept + step;
    const double above = value();
    x[i] = kept - step;
    const double below = value();
    x[i] = kept;
    gradient[i] = (above - below) / (2 * step);
  }
  return gradient;
}

/// Checks an analytic gradient against central differences to 1e-7 relative.
inline void check_gradient(Doubles& x, const Doubles& analytic,
                           const std::function<double()>& value) {
  CHECK(relative_error(analytic, central_differences(x, value)) < 1e-7);
}

}  // namespace meshplan::test
