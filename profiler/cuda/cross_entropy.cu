// SPDX-License-Identifier: Apache-2.0
// One block of 512 threads per token; a row of 128k logits is 256 KB, read at the memory's rate.
#include "profiler/cuda/cross_entropy.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kLossThreads = 512;

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

/// Calls f(x, column) for this thread's logits of the row that exist.
template <int N, class T, class F>
__device__ inline void for_row(const VocabularyShard& shard, const T* row, F f) {
  const int64_t left = shard.vocab - shard.begin;
  const int64_t live = left < shard.columns ? left : shard.columns;
  for (int64_t c = threadIdx.x * static_cast<int64_t>(N); c < live; c += kLossThreads * N) {
    const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(row + c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (c + k < live) f(as_float(pack.v[k]), c + k);
    }
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_maximum_kernel(VocabularyShard shard, const T* logits, float* maximum) {
  float top = -infinity();
  for_row<N>(shard, logits + blockIdx.x * shard.columns,
             [&](float x, int64_t) { top = fmaxf(top, x); });
  top = block_reduce(top, -infinity(), [](float a, float b) { return fmaxf(a, b); });
  if (threadIdx.x == 0) maximum[blockIdx.x] = top;
}

template <class T>
__device__ inline void write_sum(const VocabularyShard& shard, const T* row, int32_t entry,
                                 float top, float total, float* sum, float* target) {
  if (threadIdx.x != 0) return;
  const int64_t own = entry - shard.begin;
  const bool mine = own >= 0 && own < shard.columns && entry < shard.vocab;
  sum[blockIdx.x] = total;
  target[blockIdx.x] = mine ? as_float(row[own]) - top : 0.0F;
}

template <int N, class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_sum_kernel(VocabularyShard shard, const T* logits, const int32_t* targets,
                    const float* maximum, float* sum, float* target) {
  const T* row = logits + blockIdx.x * shard.columns;
  const float top = maximum[blockIdx.x];
  float total = 0;
  for_row<N>(shard, row, [&](float x, int64_t) { total += __expf(x - top); });
  total = block_sum(total);
  write_sum(shard, row, targets[blockIdx.x], top, total, sum, target);
}

template <int N, class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_both_kernel(VocabularyShard shard, const T* logits, const int32_t* targets, float* maximum,
                     float* sum, float* target) {
  const T* row = logits + blockIdx.x * shard.columns;
  float top = -infinity(), total = 0;
  for_row<N>(shard, row, [&](float x, int64_t) {
    if (x > top) {
      total *= __expf(top - x);  // exp(-inf) = 0 at the first
      top = x;
    }
    total += x == -infinity() ? 0.0F : __expf(x - top);
  });
  const float all = block_reduce(top, -infinity(), [](float a, float b) { return fmaxf(a, b); });
  total = block_sum(top == -infinity() ? 0.0F : total * __expf(top - all));
  if (threadIdx.x == 0) maximum[blockIdx.x] = all;
  write_sum(shard, row, targets[blockIdx.x], all, total, sum, target);
}

__global__ void __launch_bounds__(1024)
    loss_total_kernel(int64_t tokens, const float* sum, const float* target, double* result) {
  __shared__ double shared[1024];
  double own = 0;
  for (int64_t t = threadIdx.x; t < tokens; t += 1024) {
    own += static_cast<double>(logf(sum[t])) - static_cast<double>(target[t]);
  }
  shared[threadIdx.x] = own;
  for (unsigned step = 512; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
  }
  if (threadIdx.x == 0) *result = shared[0];
}

template <int N, class T>
__global__ void __launch_bounds__(kLossThreads)
    loss_gradient_kernel(VocabularyShard shard, float factor, const T* logits,
                         const int32_t* targets, const float* maximum, const float* sum,
                         T* dlogits) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * shard.columns;
  const int64_t live = shard.vocab - shard.begin;  // entries from here on are padding
  const int64_t entry = targets[blockIdx.x] - shard.begin;
  const float top = maximum[blockIdx.x], inverse = 1.0F / sum[blockIdx.x];
  for (int64_t c = threadIdx.x * static_cast<int64_t>(N); c < shard.columns;
       c += kLossThreads * N) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(logits + row + c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float p = __expf(as_float(pack.v[k]) - top) * inverse;
      const float d = factor * (c + k == entry ? p - 1.0F : p);
      pack.v[k] = as<T>(c + k < live ? d : 0.0F);
    }
    *reinterpret_cast<Pack<T, N>*>(dlogits + row + c) = pack;
  }
}

/// Runs launch(type, pack size) for shapes that a kernel takes.
template <class F>
Status with_rows(const char* name, const VocabularyShard& shard, DType type, const void* logits,
                 const void* dlogits, const F& launch) {
  if (shard.tokens == 0) return Done{};
  if (shard.tokens > INT32_MAX) return refused(name, "more than 2^31 tokens");
  return with_type(type, name, [&](auto t) {
    constexpr int kWide = 16 / sizeof(t);
    if (shard.columns % kWide == 0 && aligned16(logits, dlogits)) {
      launch(t, std::integral_constant<int, kWide>{});
    } else {
      launch(t, std::integral_constant<int, 1>{});
    }
    return launched(name);
  });
}

}  // namespace

Status cross_entropy_maximum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                             const void* logits, float* maximum) {
  return with_rows("cross_entropy_maximum", shard, type, logits, nullptr, [&](auto t, auto n) {
    loss_maximum_kernel<n.value><<<static_cast<unsigned>(shard.tokens), kLossThreads, 0, stream>>>(
        shard, static_cast<const decltype(t)*>(logits), maximum);
  });
}

Status cross_entropy_sum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                         const void* logits, const int32_t* targets, const float* maximum,
                         float* sum, float* target) {
  return with_rows("cross_entropy_sum", shard, type, logits, nullptr, [&](auto t, auto n) {
    loss_sum_kernel<n.value><<<static_cast<unsigned>(shard.tokens), kLossThreads, 0, stream>>>(
        shard, static_cast<const decltype(t)*>(logits), targets, maximum, sum, target);
  });
}

Status cross_entropy_maximum_and_sum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                                     const void* logits, const int32_t* targets, float* maximum,
                                     float* sum, float* target) {
  const char* name = "cross_entropy_maximum_and_sum";
  return with_rows(name, shard, type, logits, nullptr, [&](auto t, auto n) {
    loss_both_kernel<n.value><<<static_cast<unsigned>(shard.tokens), kLossThreads, 0, stream>>>(
        shard, static_cast<const decltype(t)*>(logits), targets, maximum, sum, target);
  });
}

Status cross_entropy_loss(cudaStream_t stream, int64_t tokens, const float* sum,
                          const float* target, double* result) {
  loss_total_kernel<<<1, 1024, 0, stream>>>(tokens, sum, target, result);
  return launched("cross_entropy_loss");
}

Status cross_entropy_gradient(cudaStream_t stream, const VocabularyShard& shard, float factor,
                              DType type, const void* logits, const int32_t* targets,
                              const float* maximum, const float* sum, void* dlogits) {
  return with_rows("cross_entropy_gradient", shard, type, logits, dlogits, [&](auto t, auto n) {
    using T = decltype(t);
    loss_gradient_kernel<n.value><<<static_cast<unsigned>(shard.tokens), kLossThreads, 0, stream>>>(
        shard, factor, static_cast<const T*>(logits), targets, maximum, sum,
        static_cast<T*>(dlogits));
  });
}

}  // namespace meshplan::cuda
