// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/attention_simple.hpp"

#include <cmath>

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kParts = 8;      ///< elements of a head that a lane holds: head_dim <= 32 * 8
constexpr int kHeadWarps = 4;  ///< of a block

struct Geometry {
  cpu::AttentionShape s;
  float scale;

  /// Row of a key: an all-gather leaves [kv_parts, batch, kv_len / kv_parts].
  __device__ int64_t kv_row(int64_t batch, int64_t key) const {
    const int64_t part_len = s.kv_len / s.kv_parts;
    return (key / part_len * s.batch + batch) * part_len + key % part_len;
  }
  __device__ bool sees(int32_t query, int32_t key) const {
    return key <= query && (s.window == 0 || query - key < s.window);
  }
};

/// This lane's elements lane, lane + 32, ... of a head.
template <class T>
__device__ inline void load_head(const T* head, int64_t dim, float (&x)[kParts]) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    const int64_t at = threadIdx.x + 32 * i;
    x[i] = at < dim ? as_float(head[at]) : 0.0F;
  }
}
template <class T>
__device__ inline void store_head(T* head, int64_t dim, const float (&x)[kParts], bool adds) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    const int64_t at = threadIdx.x + 32 * i;
    if (at < dim) head[at] = as<T>(adds ? as_float(head[at]) + x[i] : x[i]);
  }
}
__device__ inline float dot(const float (&a)[kParts], const float (&b)[kParts]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) sum += a[i] * b[i];
  return warp_sum(sum);
}
__device__ inline float minus_infinity() { return __int_as_float(static_cast<int>(0xff800000U)); }

template <class T>
__global__ void __launch_bounds__(32 * kHeadWarps)
    simple_forward_kernel(Geometry g, const int32_t* q_position, const int32_t* kv_position,
                          const T* q, const T* k, const T* v, T* o, float* lse) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kHeadWarps + threadIdx.y;
  if (item >= g.s.batch * g.s.q_len * g.s.heads) return;  // whole warps
  const int64_t head = item % g.s.heads, row = item / g.s.heads;
  const int64_t batch = row / g.s.q_len, kv_head = head / (g.s.heads / g.s.kv_heads);
  const int32_t position = q_position[row % g.s.q_len];
  float query[kParts], sum[kParts] = {}, other[kParts];
  load_head(q + item * g.s.head_dim, g.s.head_dim, query);
  float top = minus_infinity(), total = 0;
  for (int64_t j = 0; j < g.s.kv_len; ++j) {
    if (!g.sees(position, kv_position[j])) continue;
    const int64_t at = g.kv_row(batch, j) * g.s.kv_heads + kv_head;
    load_head(k + at * g.s.head_dim, g.s.head_dim, other);
    const float score = g.scale * dot(query, other);
    const float now = fmaxf(top, score), keep = __expf(top - now), p = __expf(score - now);
    load_head(v + at * g.s.head_dim_v, g.s.head_dim_v, other);
    total = total * keep + p;
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum[i] = sum[i] * keep + p * other[i];
    top = now;
  }
  const float inverse = total > 0 ? 1.0F / total : 0.0F;
#pragma unroll
  for (int i = 0; i < kParts; ++i) sum[i] *= inverse;
  store_head(o + item * g.s.head_dim_v, g.s.head_dim_v, sum, false);
  if (threadIdx.x == 0) lse[item] = total > 0 ? top + logf(total) : minus_infinity();
}

template <class T>
struct BackwardPointers {
  const int32_t *q_position, *kv_position;
  const T *q, *k, *v, *o, *d_o;
  const float* lse;
  T *dq, *dk, *dv;
};

/// dq of one query and head: ds = p (do v - do o), dq = scale * sum of ds k.
template <class T>
__global__ void __launch_bounds__(32 * kHeadWarps)
    simple_query_gradient_kernel(Geometry g, BackwardPointers<T> x, bool adds) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kHeadWarps + threadIdx.y;
  if (item >= g.s.batch * g.s.q_len * g.s.heads) return;
  const int64_t head = item % g.s.heads, row = item / g.s.heads;
  const int64_t batch = row / g.s.q_len, kv_head = head / (g.s.heads / g.s.kv_heads);
  const int32_t position = x.q_position[row % g.s.q_len];
  const float log_sum = x.lse[item];
  float query[kParts], gradient[kParts], other[kParts], sum[kParts] = {};
  load_head(x.q + item * g.s.head_dim, g.s.head_dim, query);
  load_head(x.d_o + item * g.s.head_dim_v, g.s.head_dim_v, gradient);
  load_head(x.o + item * g.s.head_dim_v, g.s.head_dim_v, other);
  const float delta = dot(gradient, other);
  for (int64_t j = 0; j < g.s.kv_len; ++j) {
    if (!g.sees(position, x.kv_position[j])) continue;
    const int64_t at = g.kv_row(batch, j) * g.s.kv_heads + kv_head;
    load_head(x.v + at * g.s.head_dim_v, g.s.head_dim_v, other);
    const float dp = dot(gradient, other);
    load_head(x.k + at * g.s.head_dim, g.s.head_dim, other);
    const float ds = g.scale * __expf(g.scale * dot(query, other) - log_sum) * (dp - delta);
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum[i] += ds * other[i];
  }
  store_head(x.dq + item * g.s.head_dim, g.s.head_dim, sum, adds);
}

/// dk and dv of one key and key head, over the queries of its head group in order.
template <class T>
__global__ void __launch_bounds__(32 * kHeadWarps)
    simple_key_gradient_kernel(Geometry g, BackwardPointers<T> x, bool adds) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kHeadWarps + threadIdx.y;
  if (item >= g.s.batch * g.s.kv_len * g.s.kv_heads) return;
  const int64_t kv_head = item % g.s.kv_heads, pair = item / g.s.kv_heads;
  const int64_t key = pair % g.s.kv_len, batch = pair / g.s.kv_len;
  const int64_t group = g.s.heads / g.s.kv_heads;
  const int64_t at = g.kv_row(batch, key) * g.s.kv_heads + kv_head;
  const int32_t position = x.kv_position[key];
  float own_k[kParts], own_v[kParts], dk[kParts] = {}, dv[kParts] = {};
  load_head(x.k + at * g.s.head_dim, g.s.head_dim, own_k);
  load_head(x.v + at * g.s.head_dim_v, g.s.head_dim_v, own_v);
  for (int64_t i = 0; i < g.s.q_len; ++i) {
    if (!g.sees(x.q_position[i], position)) continue;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const int64_t row = (batch * g.s.q_len + i) * g.s.heads + head;
      float gradient[kParts], other[kParts];  // few registers: two arrays at a time
      load_head(x.d_o + row * g.s.head_dim_v, g.s.head_dim_v, gradient);
      load_head(x.o + row * g.s.head_dim_v, g.s.head_dim_v, other);
      const float dp = dot(gradient, own_v) - dot(gradient, other);
      load_head(x.q + row * g.s.head_dim, g.s.head_dim, other);
      const float p = __expf(g.scale * dot(other, own_k) - x.lse[row]);
      const float ds = g.scale * p * dp;
#pragma unroll
      for (int e = 0; e < kParts; ++e) {
        dk[e] += ds * other[e];
        dv[e] += p * gradient[e];
      }
    }
  }
  store_head(x.dk + at * g.s.head_dim, g.s.head_dim, dk, adds);
  store_head(x.dv + at * g.s.head_dim_v, g.s.head_dim_v, dv, adds);
}

template <class T>
__global__ void __launch_bounds__(32 * kHeadWarps)
    attention_merge_kernel(int64_t items, int64_t dim, const T* o_block, const float* lse_block,
                           T* o, float* lse) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kHeadWarps + threadIdx.y;
  if (item >= items) return;
  const float a = lse[item], b = lse_block[item], top = fmaxf(a, b);
  __syncwarp();                         // all lanes have read lse before lane 0 writes it
  if (top == minus_infinity()) return;  // neither set has a key that this query sees
  const float wa = __expf(a - top), wb = __expf(b - top), total = wa + wb;
  float own[kParts], other[kParts];
  load_head(o + item * dim, dim, own);
  load_head(o_block + item * dim, dim, other);
#pragma unroll
  for (int i = 0; i < kParts; ++i) own[i] = (wa * own[i] + wb * other[i]) / total;
  store_head(o + item * dim, dim, own, false);
  if (threadIdx.x == 0) lse[item] = top + logf(total);
}

Status check_shape(const char* name, const cpu::AttentionShape& s) {
  if (s.head_dim > 32 * kParts || s.head_dim_v > 32 * kParts) {
    return refused(name, "a head dimension above 256");
  }
  if (s.kv_heads < 1 || s.heads % s.kv_heads != 0) {
    return refused(name, "query heads that are no multiple of the key heads");
  }
  if (s.kv_parts < 1 || s.kv_len % s.kv_parts != 0) {
    return refused(name, "parts of different numbers of keys");
  }
  if (s.batch * std::max(s.q_len * s.heads, s.kv_len * s.kv_heads) / kHeadWarps >= INT32_MAX) {
    return refused(name, "more than 2^33 rows of heads");
  }
  return Done{};
}

Geometry geometry_of(const cpu::AttentionShape& s) {
  const double scale = s.scale != 0 ? s.scale : 1 / std::sqrt(static_cast<double>(s.head_dim));
  return {s, static_cast<float>(scale)};
}

unsigned warp_blocks(int64_t items) {
  return static_cast<unsigned>((items + kHeadWarps - 1) / kHeadWarps);
}

}  // namespace

Status attention_simple_forward(cudaStream_t stream, const cpu::AttentionShape& shape,
                                const int32_t* q_position, const int32_t* kv_position, DType type,
                                const void* q, const void* k, const void* v, void* o, float* lse) {
  MESHPLAN_CHECK(check_shape("attention_simple_forward", shape));
  const int64_t items = shape.batch * shape.q_len * shape.heads;
  if (items == 0) return Done{};
  return with_type(type, "attention_simple_forward", [&](auto t) {
    using T = decltype(t);
    simple_forward_kernel<<<warp_blocks(items), dim3(32, kHeadWarps), 0, stream>>>(
        geometry_of(shape), q_position, kv_position, static_cast<const T*>(q),
        static_cast<const T*>(k), static_cast<const T*>(v), static_cast<T*>(o), lse);
    return launched("attention_simple_forward");
  });
}

Status attention_simple_backward(cudaStream_t stream, const cpu::AttentionShape& shape,
                                 const int32_t* q_position, const int32_t* kv_position, DType type,
                                 const void* q, const void* k, const void* v, const void* o,
                                 const float* lse, const void* d_o, cpu::Write write_q, void* dq,
                                 cpu::Write write_kv, void* dk, void* dv) {
  MESHPLAN_CHECK(check_shape("attention_simple_backward", shape));
  const int64_t queries = shape.batch * shape.q_len * shape.heads;
  const int64_t keys = shape.batch * shape.kv_len * shape.kv_heads;
  if (queries == 0 || keys == 0) return Done{};
  return with_type(type, "attention_simple_backward", [&](auto t) -> Status {
    using T = decltype(t);
    const BackwardPointers<T> x{q_position,
                                kv_position,
                                static_cast<const T*>(q),
                                static_cast<const T*>(k),
                                static_cast<const T*>(v),
                                static_cast<const T*>(o),
                                static_cast<const T*>(d_o),
                                lse,
                                static_cast<T*>(dq),
                                static_cast<T*>(dk),
                                static_cast<T*>(dv)};
    const Geometry g = geometry_of(shape);
    const dim3 threads(32, kHeadWarps);
    simple_query_gradient_kernel<<<warp_blocks(queries), threads, 0, stream>>>(
        g, x, write_q == cpu::Write::add);
    MESHPLAN_CHECK(launched("attention_simple_backward"));
    simple_key_gradient_kernel<<<warp_blocks(keys), threads, 0, stream>>>(
        g, x, write_kv == cpu::Write::add);
    return launched("attention_simple_backward");
  });
}

Status attention_merge(cudaStream_t stream, int64_t rows, int64_t heads, int64_t head_dim_v,
                       DType type, const void* o_block, const float* lse_block, void* o,
                       float* lse) {
  const int64_t items = rows * heads;
  if (items == 0) return Done{};
  if (head_dim_v > 32 * kParts) return refused("attention_merge", "a head dimension above 256");
  return with_type(type, "attention_merge", [&](auto t) {
    using T = decltype(t);
    attention_merge_kernel<<<warp_blocks(items), dim3(32, kHeadWarps), 0, stream>>>(
        items, head_dim_v, static_cast<const T*>(o_block), lse_block, static_cast<T*>(o), lse);
    return launched("attention_merge");
  });
}

}  // namespace meshplan::cuda
