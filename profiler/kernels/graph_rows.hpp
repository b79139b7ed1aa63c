// SPDX-License-Identifier: Apache-2.0
// How are embedding rows read, moved by Adagrad, and kept within a norm? Rows of fp32 values, on
// the calling thread.
#pragma once
#include <cstdint>

namespace meshplan::cpu {

/// out [count, cols] = the rows that `rows` [count] points at, plus `shift` [cols] if there is one.
void gather_rows(const float* const* rows, int64_t count, int64_t cols, const float* shift,
                 float* out);

/// Begins to read a row that is needed a little later.
void prefetch_row(const float* row, int64_t cols);

/// Sum of a[i] b[i].
float dot_product(int64_t cols, const float* a, const float* b);

/// a += b
void add_row(int64_t cols, const float* b, float* a);

/// Row-wise Adagrad (Lerer et al., arXiv 1903.12287, section 3.1): *sum += mean of g^2,
/// row -= rate * g / (sqrt(*sum) + 1e-10); then the row is scaled to max_norm where it is longer
/// (0: no bound).
void row_adagrad(int64_t cols, const float* g, float rate, float max_norm, float* row, float* sum);

/// Adagrad of every value by itself: sum += g^2, value -= rate * g / (sqrt(sum) + 1e-10).
void value_adagrad(int64_t count, const float* g, float rate, float* value, float* sum);

/// Adds the gradient of factor * sum of |z|^3 to g; complex_halves: z = (value i, value i +
/// cols/2), else every value by itself. Returns factor * sum of |z|^3. (Lacroix et al., arXiv
/// 1806.07297.)
double add_n3(int64_t cols, bool complex_halves, float factor, const float* row, float* g);

}  // namespace meshplan::cpu
