// SPDX-License-Identifier: Apache-2.0
// What does a relation do to an entity's vector, and what are the gradients? g_r(x) per row:
// none x; diagonal r * x; translation x + r; complex_diagonal r x with halves (real, imaginary);
// linear W x; affine W x + b.
#pragma once
#include <cstdint>

#include "strategies/embedding/workload.hpp"

namespace meshplan::cpu {

/// Rows of one call share one relation (`stride` 0) or each has its own parameters at
/// params + index[i] * stride. linear and affine are called with shared parameters only.
struct OperatorRows {
  graph::Operator op = graph::Operator::none;
  int64_t cols = 0;
  const float* params = nullptr;
  int64_t stride = 0;
  const int32_t* index = nullptr;  ///< [rows], with a stride
  /// [rows], with a stride: places of the gradients, numbered in the order of their first use.
  const int32_t* slots = nullptr;
};

/// The parameters that leave a vector as it is.
void identity_operator(graph::Operator op, int64_t cols, float* params);

/// out [rows, cols] = g(x [rows, cols])
void apply_operator(const OperatorRows& rows, int64_t count, const float* x, float* out);

/// Gradients that a call adds to; others it writes.
struct AddTo {
  bool x = false, params = false;
};

/// From dout [rows, cols]: dx, and dparams at dparams + slots[i] * stride, or one for all. none
/// leaves dparams alone.
void operator_gradient(const OperatorRows& rows, int64_t count, const float* x, const float* dout,
                       AddTo add, float* dx, float* dparams);

}  // namespace meshplan::cpu
