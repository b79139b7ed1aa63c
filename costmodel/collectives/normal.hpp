// SPDX-License-Identifier: Apache-2.0
// How far above the mean is the slowest of n equal devices? Order statistics of the normal.
#pragma once
#include <cstdint>

namespace meshplan {

/// Expected maximum of n independent standard normal values: 0 for n = 1, 1.03 for 4, 3.24 for
/// 1,000. Blom's approximation: the quantile of (n - 0.375) / (n + 0.25), within 2 %.
double expected_maximum(int64_t n);

/// x with P(normal < x) = p, 0 < p < 1, to 1e-9 (bisection of erfc).
double normal_quantile(double p);

}  // namespace meshplan
