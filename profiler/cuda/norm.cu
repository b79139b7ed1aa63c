// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/norm.hpp"

#include "profiler/cuda/column_sum.cuh"

namespace meshplan::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(1024)
    rmsnorm_forward_kernel(int64_t packs, float epsilon, const Pack<T, N>* x,
                           const Pack<T, N>* residual, Pack<T, N>* sum, const Pack<T, N>* weight,
                           Pack<T, N>* y, float* rstd) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * packs;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    Pack<T, N> a = x[row + i];
    if (residual != nullptr) {
      const Pack<T, N> b = residual[row + i];
#pragma unroll
      for (int k = 0; k < N; ++k) a.v[k] = as<T>(as_float(a.v[k]) + as_float(b.v[k]));
      sum[row + i] = a;
    }
#pragma unroll
    for (int k = 0; k < N; ++k) squares += as_float(a.v[k]) * as_float(a.v[k]);
  }
  const float mean = block_sum(squares) / static_cast<float>(packs * N);
  const float inverse = rsqrtf(mean + epsilon);
  // a thread reads again what it wrote itself: no barrier is needed
  const Pack<T, N>* again = residual != nullptr ? sum : x;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = again[row + i], w = weight[i];
    Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) out.v[k] = as<T>(as_float(a.v[k]) * inverse * as_float(w.v[k]));
    y[row + i] = out;
  }
  if (threadIdx.x == 0) rstd[blockIdx.x] = inverse;
}

template <class T, int N>
__global__ void __launch_bounds__(1024)
    rmsnorm_backward_kernel(int64_t packs, bool adds, const Pack<T, N>* x, const Pack<T, N>* weight,
                            const float* rstd, const Pack<T, N>* dy, Pack<T, N>* dx) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * packs;
  const float inverse = rstd[blockIdx.x];
  float dot = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i], w = weight[i], d = dy[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      dot += as_float(d.v[k]) * as_float(w.v[k]) * as_float(a.v[k]) * inverse;
    }
  }
  const float mean = block_sum(dot) / static_cast<float>(packs * N);
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i], w = weight[i], d = dy[row + i];
    Pack<T, N> out;
    if (adds) out = dx[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float g = as_float(d.v[k]) * as_float(w.v[k]);
      const float value = inverse * (g - as_float(a.v[k]) * inverse * mean);
      out.v[k] = as<T>(adds ? as_float(out.v[k]) + value : value);
    }
    dx[row + i] = out;
  }
}

template <class T>
struct WeightTerm {
  const T *x, *dy;
  const float* rstd;
  int64_t cols;
  __device__ float operator()(int64_t r, int64_t c) const {
    return as_float(dy[r * cols + c]) * as_float(x[r * cols + c]) * rstd[r];
  }
};

template <class T, int N>
Status forward(cudaStream_t stream, int64_t rows, int64_t cols, float epsilon, const void* x,
               const void* residual, void* sum, const void* weight, void* y, float* rstd) {
  using P = Pack<T, N>;
  const int64_t packs = cols / N;
  rmsnorm_forward_kernel<T, N><<<static_cast<unsigned>(rows), row_threads(packs), 0, stream>>>(
      packs, epsilon, static_cast<const P*>(x), static_cast<const P*>(residual),
      static_cast<P*>(sum), static_cast<const P*>(weight), static_cast<P*>(y), rstd);
  return launched("rmsnorm_forward");
}

template <class T, int N>
Status backward(cudaStream_t stream, int64_t rows, int64_t cols, const void* x, const void* weight,
                const float* rstd, const void* dy, cpu::Write write, void* dx) {
  using P = Pack<T, N>;
  const int64_t packs = cols / N;
  rmsnorm_backward_kernel<T, N><<<static_cast<unsigned>(rows), row_threads(packs), 0, stream>>>(
      packs, write == cpu::Write::add, static_cast<const P*>(x), static_cast<const P*>(weight),
      rstd, static_cast<const P*>(dy), static_cast<P*>(dx));
  return launched("rmsnorm_backward_input");
}

}  // namespace

Status rmsnorm_forward(cudaStream_t stream, int64_t rows, int64_t cols, float epsilon, DType type,
                       const void* x, const void* residual, void* sum, const void* weight, void* y,
                       float* rstd) {
  if (rows == 0) return Done{};
  if (rows > INT32_MAX) return refused("rmsnorm_forward", "more than 2^31 rows");
  return with_type(type, "rmsnorm_forward", [&](auto t) {
    using T = decltype(t);
    constexpr int kWide = 16 / sizeof(T);
    const bool wide = cols % kWide == 0 && aligned16(x, residual, sum, weight, y);
    return wide ? forward<T, kWide>(stream, rows, cols, epsilon, x, residual, sum, weight, y, rstd)
                : forward<T, 1>(stream, rows, cols, epsilon, x, residual, sum, weight, y, rstd);
  });
}

Status rmsnorm_backward_input(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                              const void* x, const void* weight, const float* rstd, const void* dy,
                              cpu::Write write, void* dx) {
  if (rows == 0) return Done{};
  if (rows > INT32_MAX) return refused("rmsnorm_backward_input", "more than 2^31 rows");
  return with_type(type, "rmsnorm_backward_input", [&](auto t) {
    using T = decltype(t);
    constexpr int kWide = 16 / sizeof(T);
    const bool wide = cols % kWide == 0 && aligned16(x, weight, dy, dx);
    return wide ? backward<T, kWide>(stream, rows, cols, x, weight, rstd, dy, write, dx)
                : backward<T, 1>(stream, rows, cols, x, weight, rstd, dy, write, dx);
  });
}

Status rmsnorm_backward_weight(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                               const void* x, const float* rstd, const void* dy,
                               DType gradient_type, void* dweight, float* workspace) {
  return with_type(type, "rmsnorm_backward_weight", [&](auto from) {
    return with_type(gradient_type, "rmsnorm_backward_weight", [&](auto to) {
      using T = decltype(from);
      return column_sum(
          stream, "rmsnorm_backward_weight", rows, cols,
          WeightTerm<T>{static_cast<const T*>(x), static_cast<const T*>(dy), rstd, cols},
          static_cast<decltype(to)*>(dweight), workspace);
    });
  });
}

}  // namespace meshplan::cuda
