// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/elementwise.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kThreads = 256;

/// y = f(y, x...) element by element, N at a time; `tail` elements at the end one by one.
template <int N, class Y, class F, class... X>
__global__ void map_kernel(int64_t packs, int64_t count, F f, Y* y, const X*... x) {
  for (int64_t i = thread_index(); i < packs; i += thread_count()) {
    Pack<Y, N> out = reinterpret_cast<Pack<Y, N>*>(y)[i];
    const auto apply = [&](const Pack<X, N>&... in) {
#pragma unroll
      for (int k = 0; k < N; ++k) out.v[k] = as<Y>(f(as_float(out.v[k]), as_float(in.v[k])...));
    };
    apply(reinterpret_cast<const Pack<X, N>*>(x)[i]...);
    reinterpret_cast<Pack<Y, N>*>(y)[i] = out;
  }
  for (int64_t i = packs * N + thread_index(); i < count; i += thread_count()) {
    y[i] = as<Y>(f(as_float(y[i]), as_float(x[i])...));
  }
}

template <class Y, class F, class... X>
Status map(cudaStream_t stream, const char* name, int64_t count, F f, Y* y, const X*... x) {
  if (count == 0) return Done{};
  constexpr int kWide = 16 / static_cast<int>(std::max({sizeof(Y), sizeof(X)...}));
  const int64_t packs = aligned16(y, x...) ? count / kWide : 0;
  map_kernel<kWide>
      <<<grid_for(std::max(packs, count - packs * kWide), kThreads), kThreads, 0, stream>>>(
          packs, count, f, y, x...);
  return launched(name);
}

struct Take {
  __device__ float operator()(float, float x) const { return x; }
};
struct Sum {
  __device__ float operator()(float, float a, float b) const { return a + b; }
};
struct AddScaled {
  float factor;
  __device__ float operator()(float y, float x) const { return y + factor * x; }
};
struct Scale {
  float factor;
  __device__ float operator()(float y) const { return factor * y; }
};

template <class T>
__global__ void add_bias_kernel(int64_t count, int64_t cols, const T* x, const T* bias, T* y) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    y[i] = as<T>(as_float(x[i]) + as_float(bias[i % cols]));
  }
}

constexpr int kNormBlocks = 512;

/// Of a block of kThreads, on thread 0; the order is fixed.
__device__ inline double block_total(double x) {
  __shared__ double shared[kThreads];
  shared[threadIdx.x] = x;
  for (unsigned step = kThreads / 2; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
  }
  return shared[0];
}

template <class T>
__global__ void squared_norm_kernel(int64_t count, const T* x, double* parts) {
  // double sums per thread would halve the rate of nothing: the loads are the limit
  double sum = 0;
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const double value = as_float(x[i]);
    sum += value * value;
  }
  sum = block_total(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    sum_parts_kernel(int count, const double* parts, double* result) {
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += kThreads) sum += parts[i];
  sum = block_total(sum);
  if (threadIdx.x == 0) *result = sum;
}

}  // namespace

Status convert(cudaStream_t stream, int64_t count, DType x_type, const void* x, DType y_type,
               void* y) {
  if (x_type == y_type) {
    if (x == y || count == 0) return Done{};
    const auto bytes = static_cast<size_t>(count * bytes_of(x_type));
    return status_of(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDeviceToDevice, stream), "convert");
  }
  return with_type(x_type, "convert", [&](auto from) {
    return with_type(y_type, "convert", [&](auto to) {
      return map(stream, "convert", count, Take{}, static_cast<decltype(to)*>(y),
                 static_cast<const decltype(from)*>(x));
    });
  });
}

Status add(cudaStream_t stream, int64_t count, DType type, const void* a, const void* b, void* y) {
  return with_type(type, "add", [&](auto t) {
    using T = decltype(t);
    return map(stream, "add", count, Sum{}, static_cast<T*>(y), static_cast<const T*>(a),
               static_cast<const T*>(b));
  });
}

Status accumulate(cudaStream_t stream, int64_t count, float factor, DType x_type, const void* x,
                  DType y_type, void* y) {
  return with_type(x_type, "accumulate", [&](auto from) {
    return with_type(y_type, "accumulate", [&](auto to) {
      return map(stream, "accumulate", count, AddScaled{factor}, static_cast<decltype(to)*>(y),
                 static_cast<const decltype(from)*>(x));
    });
  });
}

Status scale(cudaStream_t stream, int64_t count, float factor, DType type, void* x) {
  return with_type(type, "scale", [&](auto t) {
    return map(stream, "scale", count, Scale{factor}, static_cast<decltype(t)*>(x));
  });
}

Status add_bias(cudaStream_t stream, int64_t rows, int64_t cols, DType type, const void* x,
                const void* bias, void* y) {
  if (rows * cols == 0) return Done{};
  return with_type(type, "add_bias", [&](auto t) {
    using T = decltype(t);
    add_bias_kernel<<<grid_for(rows * cols, kThreads), kThreads, 0, stream>>>(
        rows * cols, cols, static_cast<const T*>(x), static_cast<const T*>(bias),
        static_cast<T*>(y));
    return launched("add_bias");
  });
}

int64_t squared_norm_workspace() { return kNormBlocks * static_cast<int64_t>(sizeof(double)); }

Status squared_norm(cudaStream_t stream, int64_t count, DType type, const void* x, double* result,
                    double* workspace) {
  return with_type(type, "squared_norm", [&](auto t) -> Status {
    squared_norm_kernel<<<kNormBlocks, kThreads, 0, stream>>>(
        count, static_cast<const decltype(t)*>(x), workspace);
    MESHPLAN_CHECK(launched("squared_norm"));
    sum_parts_kernel<<<1, kThreads, 0, stream>>>(kNormBlocks, workspace, result);
    return launched("squared_norm");
  });
}

}  // namespace meshplan::cuda
