// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/column_sum.cuh"

namespace meshplan::cuda {
namespace {

template <class T>
struct ColumnElement {
  const T* dy;
  int64_t cols;
  __device__ float operator()(int64_t r, int64_t c) const { return as_float(dy[r * cols + c]); }
};

}  // namespace

int64_t column_sum_workspace(int64_t rows, int64_t cols) {
  return row_slices(rows) * cols * static_cast<int64_t>(sizeof(float));
}

Status bias_gradient(cudaStream_t stream, int64_t rows, int64_t cols, DType type, const void* dy,
                     DType bias_type, void* dbias, float* workspace) {
  return with_type(type, "bias_gradient", [&](auto from) {
    return with_type(bias_type, "bias_gradient", [&](auto to) {
      using T = decltype(from);
      return column_sum(stream, "bias_gradient", rows, cols,
                        ColumnElement<T>{static_cast<const T*>(dy), cols},
                        static_cast<decltype(to)*>(dbias), workspace);
    });
  });
}

}  // namespace meshplan::cuda
