// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/embedding.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kLookupThreads = 128;

template <class T, int N>
__global__ void __launch_bounds__(kLookupThreads)
    lookup_kernel(int64_t packs, int64_t vocab_begin, int64_t vocab_rows, const int32_t* token,
                  const Pack<T, N>* table, Pack<T, N>* y) {
  const int64_t own = static_cast<int64_t>(token[blockIdx.x]) - vocab_begin;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * packs;
  const bool mine = own >= 0 && own < vocab_rows;
  for (int64_t i = threadIdx.x; i < packs; i += kLookupThreads) {
    Pack<T, N> value;
    if (mine) {
      value = table[own * packs + i];
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) value.v[k] = as<T>(0.0F);
    }
    y[row + i] = value;
  }
}

/// The block of the first row with a token adds up all rows with that token.
template <class T, class G>
__global__ void __launch_bounds__(kLookupThreads)
    scatter_kernel(int64_t rows, int64_t cols, int64_t vocab_begin, int64_t vocab_rows,
                   const int32_t* token, const T* dy, G* dtable) {
  __shared__ int32_t equal[kLookupThreads];
  const int64_t first = blockIdx.x;
  const int32_t mine = token[first];
  const int64_t own = static_cast<int64_t>(mine) - vocab_begin;
  if (own < 0 || own >= vocab_rows) return;  // the same for the whole block
  bool earlier = false;
  for (int64_t r = threadIdx.x; r < first; r += kLookupThreads) earlier |= token[r] == mine;
  if (__syncthreads_or(earlier ? 1 : 0) != 0) return;
  for (int64_t begin = first; begin < rows; begin += kLookupThreads) {
    const int64_t r = begin + threadIdx.x;
    const int found = r < rows && token[r] == mine ? 1 : 0;
    equal[threadIdx.x] = found;
    if (__syncthreads_or(found) != 0) {
      for (int64_t c = threadIdx.x; c < cols; c += kLookupThreads) {
        float sum = as_float(dtable[own * cols + c]);
        for (int j = 0; j < kLookupThreads; ++j) {
          if (equal[j] != 0) sum += as_float(dy[(begin + j) * cols + c]);
        }
        dtable[own * cols + c] = as<G>(sum);
      }
    }
    __syncthreads();  // before equal is written again
  }
}

}  // namespace

Status embedding_forward(cudaStream_t stream, int64_t rows, int64_t cols, int64_t vocab_begin,
                         int64_t vocab_rows, const int32_t* token, DType type, const void* table,
                         void* y) {
  if (rows == 0) return Done{};
  if (rows > INT32_MAX) return refused("embedding_forward", "more than 2^31 rows");
  return with_type(type, "embedding_forward", [&](auto t) {
    using T = decltype(t);
    constexpr int kWide = 16 / sizeof(T);
    const auto blocks = static_cast<unsigned>(rows);
    if (cols % kWide == 0 && aligned16(table, y)) {
      using P = Pack<T, kWide>;
      lookup_kernel<T, kWide>
          <<<blocks, kLookupThreads, 0, stream>>>(cols / kWide, vocab_begin, vocab_rows, token,
                                                  static_cast<const P*>(table), static_cast<P*>(y));
    } else {
      using P = Pack<T, 1>;
      lookup_kernel<T, 1><<<blocks, kLookupThreads, 0, stream>>>(
          cols, vocab_begin, vocab_rows, token, static_cast<const P*>(table), static_cast<P*>(y));
    }
    return launched("embedding_forward");
  });
}

Status embedding_backward(cudaStream_t stream, int64_t rows, int64_t cols, int64_t vocab_begin,
                          int64_t vocab_rows, const int32_t* token, DType type, const void* dy,
                          DType gradient_type, void* dtable) {
  if (rows == 0) return Done{};
  if (rows > INT32_MAX) return refused("embedding_backward", "more than 2^31 rows");
  return with_type(type, "embedding_backward", [&](auto from) {
    return with_type(gradient_type, "embedding_backward", [&](auto to) {
      using T = decltype(from);
      using G = decltype(to);
      scatter_kernel<T, G><<<static_cast<unsigned>(rows), kLookupThreads, 0, stream>>>(
          rows, cols, vocab_begin, vocab_rows, token, static_cast<const T*>(dy),
          static_cast<G*>(dtable));
      return launched("embedding_backward");
    });
  });
}

}  // namespace meshplan::cuda
