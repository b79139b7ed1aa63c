// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/rope.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

template <class T>
struct Pointers {
  T *qkv, *q, *k, *v;
};

/// One item: N elements of the first half of a head and their partners in the second half.
template <class T, int N>
__global__ void rope_kernel(RopeShape shape, bool forward, const int32_t* position,
                            const float* cosine, const float* sine, Pointers<T> at) {
  const int64_t half = shape.head_dim / 2, steps = half / N;
  const int64_t all_heads = shape.heads + 2 * shape.kv_heads;
  const int64_t items = shape.tokens * all_heads * steps;
  for (int64_t i = thread_index(); i < items; i += thread_count()) {
    const int64_t step = i % steps, head = i / steps % all_heads, token = i / steps / all_heads;
    T* joined = at.qkv + (token * all_heads + head) * shape.head_dim + step * N;
    T* alone = nullptr;
    bool turns = shape.rotate;
    if (head < shape.heads) {
      alone = at.q + (token * shape.heads + head) * shape.head_dim;
    } else if (head < shape.heads + shape.kv_heads) {
      alone = at.k + (token * shape.kv_heads + head - shape.heads) * shape.head_dim;
    } else {
      alone =
          at.v + (token * shape.kv_heads + head - shape.heads - shape.kv_heads) * shape.head_dim;
      turns = false;
    }
    alone += step * N;
    const T* from = forward ? joined : alone;
    T* to = forward ? alone : joined;
    Pack<T, N> a = *reinterpret_cast<const Pack<T, N>*>(from);
    Pack<T, N> b = *reinterpret_cast<const Pack<T, N>*>(from + half);
    if (turns) {
      const int64_t row = static_cast<int64_t>(position[token]) * half + step * N;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float c = cosine[row + j], s = forward ? sine[row + j] : -sine[row + j];
        const float first = as_float(a.v[j]), second = as_float(b.v[j]);
        a.v[j] = as<T>(first * c - second * s);
        b.v[j] = as<T>(second * c + first * s);
      }
    }
    *reinterpret_cast<Pack<T, N>*>(to) = a;
    *reinterpret_cast<Pack<T, N>*>(to + half) = b;
  }
}

template <class T, int N>
Status run(cudaStream_t stream, const RopeShape& shape, bool forward, const int32_t* position,
           const float* cosine, const float* sine, const Pointers<T>& at) {
  const int64_t items =
      shape.tokens * (shape.heads + 2 * shape.kv_heads) * (shape.head_dim / 2 / N);
  rope_kernel<T, N>
      <<<grid_for(items, 256), 256, 0, stream>>>(shape, forward, position, cosine, sine, at);
  return launched("rope_split");
}

}  // namespace

Status rope_split(cudaStream_t stream, cpu::Turn turn, const RopeShape& shape, DType type,
                  const int32_t* position, const float* cosine, const float* sine, void* qkv,
                  void* q, void* k, void* v) {
  if (shape.tokens == 0) return Done{};
  if (shape.head_dim <= 0 || shape.head_dim % 2 != 0) {
    return refused("rope_split", "an odd head dimension");
  }
  return with_type(type, "rope_split", [&](auto t) {
    using T = decltype(t);
    constexpr int kWide = 16 / sizeof(T);
    const Pointers<T> at{static_cast<T*>(qkv), static_cast<T*>(q), static_cast<T*>(k),
                         static_cast<T*>(v)};
    const bool wide = shape.head_dim / 2 % kWide == 0 && aligned16(qkv, q, k, v);
    const bool forward = turn == cpu::Turn::forward;
    return wide ? run<T, kWide>(stream, shape, forward, position, cosine, sine, at)
                : run<T, 1>(stream, shape, forward, position, cosine, sine, at);
  });
}

}  // namespace meshplan::cuda
