// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/layer_norm.hpp"

#include <type_traits>

#include "profiler/cuda/column_sum.cuh"

namespace meshplan::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(1024)
    layernorm_forward_kernel(int64_t packs, float epsilon, const Pack<T, N>* x,
                             const Pack<T, N>* weight, const Pack<T, N>* bias, Pack<T, N>* y,
                             float* mean, float* rstd) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * packs;
  const auto cols = static_cast<float>(packs * N);
  float sum = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) sum += as_float(a.v[k]);
  }
  const float shift = block_sum(sum) / cols;
  // the variance in a pass of its own: a difference of large sums would lose it
  float squares = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float d = as_float(a.v[k]) - shift;
      squares += d * d;
    }
  }
  const float inverse = rsqrtf(block_sum(squares) / cols + epsilon);
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i], w = weight[i];
    Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float add = bias != nullptr ? as_float(bias[i].v[k]) : 0.0F;
      out.v[k] = as<T>((as_float(a.v[k]) - shift) * inverse * as_float(w.v[k]) + add);
    }
    y[row + i] = out;
  }
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = shift;
    rstd[blockIdx.x] = inverse;
  }
}

template <class T, int N>
__global__ void __launch_bounds__(1024)
    layernorm_backward_kernel(int64_t packs, bool adds, const Pack<T, N>* x,
                              const Pack<T, N>* weight, const float* mean, const float* rstd,
                              const Pack<T, N>* dy, Pack<T, N>* dx) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * packs;
  const float shift = mean[blockIdx.x], inverse = rstd[blockIdx.x];
  const auto cols = static_cast<float>(packs * N);
  float sum = 0, dot = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i], w = weight[i], d = dy[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float g = as_float(d.v[k]) * as_float(w.v[k]);
      sum += g;
      dot += g * (as_float(a.v[k]) - shift) * inverse;
    }
  }
  const float mean_g = block_sum(sum) / cols;
  const float mean_dot = block_sum(dot) / cols;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<T, N> a = x[row + i], w = weight[i], d = dy[row + i];
    Pack<T, N> out;
    if (adds) out = dx[row + i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float g = as_float(d.v[k]) * as_float(w.v[k]);
      const float value = inverse * (g - mean_g - (as_float(a.v[k]) - shift) * inverse * mean_dot);
      out.v[k] = as<T>(adds ? as_float(out.v[k]) + value : value);
    }
    dx[row + i] = out;
  }
}

template <class T>
struct LayerNormTerm {
  const T *x, *dy;
  const float *mean, *rstd;
  int64_t cols;
  __device__ float operator()(int64_t r, int64_t c) const {
    return as_float(dy[r * cols + c]) * (as_float(x[r * cols + c]) - mean[r]) * rstd[r];
  }
};

/// Calls f(T{}, integral constant of elements per access).
template <class F>
Status with_packs(const char* kernel, DType type, int64_t rows, int64_t cols, bool aligned,
                  const F& f) {
  if (rows > INT32_MAX) return refused(kernel, "more than 2^31 rows");
  return with_type(type, kernel, [&](auto t) {
    constexpr int kWide = 16 / sizeof(t);
    return aligned && cols % kWide == 0 ? f(t, std::integral_constant<int, kWide>())
                                        : f(t, std::integral_constant<int, 1>());
  });
}

}  // namespace

Status layernorm_forward(cudaStream_t stream, int64_t rows, int64_t cols, float epsilon, DType type,
                         const void* x, const void* weight, const void* bias, void* y, float* mean,
                         float* rstd) {
  if (rows == 0) return Done{};
  return with_packs(
      "layernorm_forward", type, rows, cols, aligned16(x, weight, bias, y), [&](auto t, auto n) {
        using P = Pack<decltype(t), n.value>;
        const int64_t packs = cols / n.value;
        layernorm_forward_kernel<decltype(t), n.value>
            <<<static_cast<unsigned>(rows), row_threads(packs), 0, stream>>>(
                packs, epsilon, static_cast<const P*>(x), static_cast<const P*>(weight),
                static_cast<const P*>(bias), static_cast<P*>(y), mean, rstd);
        return launched("layernorm_forward");
      });
}

Status layernorm_backward_input(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                                const void* x, const void* weight, const float* mean,
                                const float* rstd, const void* dy, cpu::Write write, void* dx) {
  if (rows == 0) return Done{};
  return with_packs("layernorm_backward_input", type, rows, cols, aligned16(x, weight, dy, dx),
                    [&](auto t, auto n) {
                      using P = Pack<decltype(t), n.value>;
                      const int64_t packs = cols / n.value;
                      layernorm_backward_kernel<decltype(t), n.value>
                          <<<static_cast<unsigned>(rows), row_threads(packs), 0, stream>>>(
                              packs, write == cpu::Write::add, static_cast<const P*>(x),
                              static_cast<const P*>(weight), mean, rstd, static_cast<const P*>(dy),
                              static_cast<P*>(dx));
                      return launched("layernorm_backward_input");
                    });
}

Status layernorm_backward_weight(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                                 const void* x, const float* mean, const float* rstd,
                                 const void* dy, DType gradient_type, void* dweight,
                                 float* workspace) {
  return with_type(type, "layernorm_backward_weight", [&](auto from) {
    return with_type(gradient_type, "layernorm_backward_weight", [&](auto to) {
      using T = decltype(from);
      return column_sum(
          stream, "layernorm_backward_weight", rows, cols,
          LayerNormTerm<T>{static_cast<const T*>(x), static_cast<const T*>(dy), mean, rstd, cols},
          static_cast<decltype(to)*>(dweight), workspace);
    });
  });
}

}  // namespace meshplan::cuda
