// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/routing.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kMostChoices = 32;
constexpr int kRowThreads = 128;

/// One warp per token: the best expert that is not chosen yet, top_k times.
__global__ void __launch_bounds__(32)
    choose_experts_kernel(int experts, int top_k, const float* logits, float* gates,
                          int32_t* expert) {
  const int64_t token = blockIdx.x;
  const float* x = logits + token * experts;
  int own_choice = -1;  // lane j keeps choice j
  float own_logit = 0;
  for (int j = 0; j < top_k; ++j) {
    float best = -INFINITY;
    int at = experts;
    for (int e = static_cast<int>(threadIdx.x); e - static_cast<int>(threadIdx.x) < experts;
         e += 32) {
      bool taken = e >= experts;
      for (int c = 0; c < j; ++c) taken |= __shfl_sync(kAllLanes, own_choice, c) == e;
      if (taken) continue;
      const float value = isnan(x[e]) ? -INFINITY : x[e];  // every choice is an expert
      if (value > best || (value == best && e < at)) {
        best = value;
        at = e;
      }
    }
    for (int step = 16; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, best, step);
      const int other_at = __shfl_xor_sync(kAllLanes, at, step);
      if (other > best || (other == best && other_at < at)) {
        best = other;
        at = other_at;
      }
    }
    if (static_cast<int>(threadIdx.x) == j) {
      own_choice = at;
      own_logit = best;
    }
  }
  const bool chosen = static_cast<int>(threadIdx.x) < top_k;
  const float largest = __shfl_sync(kAllLanes, own_logit, 0);
  const float weight = chosen ? expf(own_logit - largest) : 0.0F;
  const float sum = warp_sum(weight);
  if (!chosen) return;
  gates[token * top_k + threadIdx.x] = weight / sum;
  expert[token * top_k + threadIdx.x] = own_choice;
}

/// One warp per group and expert goes through the group's pairs in the order of choice, then token.
__global__ void __launch_bounds__(32) route_rows_kernel(int64_t group, int top_k, int64_t capacity,
                                                        const int32_t* expert, int32_t* routing) {
  const int64_t g = blockIdx.x;
  const auto own = static_cast<int32_t>(blockIdx.y);
  const int64_t first_row = (static_cast<int64_t>(own) * gridDim.x + g) * capacity;
  int64_t taken = 0;
  for (int j = 0; j < top_k; ++j) {
    for (int64_t begin = 0; begin < group; begin += 32) {
      const int64_t t = begin + threadIdx.x;
      const int64_t pair = (g * group + t) * top_k + j;
      const bool mine = t < group && expert[pair] == own;
      const unsigned others = __ballot_sync(kAllLanes, mine);
      const int64_t slot = taken + __popc(others & ((1U << threadIdx.x) - 1));
      if (mine) {
        routing[pair] = slot < capacity ? static_cast<int32_t>(first_row + slot) : -1 - own;
      }
      taken += __popc(others);
    }
  }
}

__global__ void __launch_bounds__(kRowThreads)
    route_backward_kernel(int experts, int top_k, int64_t rows_per_expert, const float* dgates,
                          const float* gates, const int32_t* routing, float* dlogits) {
  const int64_t token = blockIdx.x;
  float* out = dlogits + token * experts;
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += kRowThreads) out[e] = 0;
  __syncthreads();
  if (threadIdx.x >= static_cast<unsigned>(top_k)) return;
  float sum = 0;
  for (int j = 0; j < top_k; ++j) sum += gates[token * top_k + j] * dgates[token * top_k + j];
  const int64_t pair = token * top_k + threadIdx.x;
  const int32_t row = routing[pair];
  const int64_t own = row >= 0 ? row / rows_per_expert : -1 - row;
  out[own] = gates[pair] * (dgates[pair] - sum);  // a token chooses an expert once
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    dispatch_kernel(int top_k, int64_t hidden, const int32_t* routing, const float* gates,
                    const T* x, T* permuted) {
  const int64_t pair = blockIdx.x;
  const int64_t row = routing[pair];
  if (row < 0) return;
  const float gate = gates != nullptr ? gates[pair] : 1.0F;
  const T* from = x + pair / top_k * hidden;
  for (int64_t c = threadIdx.x; c < hidden; c += kRowThreads) {
    permuted[row * hidden + c] = as<T>(gate * as_float(from[c]));
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    combine_kernel(int top_k, int64_t hidden, const int32_t* routing, const float* gates,
                   const T* permuted, T* y) {
  const int64_t token = blockIdx.x;
  for (int64_t c = threadIdx.x; c < hidden; c += kRowThreads) {
    float sum = 0;
#pragma unroll 1
    for (int j = 0; j < top_k; ++j) {
      const int64_t pair = token * top_k + j, row = routing[pair];
      if (row < 0) continue;
      const float gate = gates != nullptr ? gates[pair] : 1.0F;
      sum += gate * as_float(permuted[row * hidden + c]);
    }
    y[token * hidden + c] = as<T>(sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    gate_gradient_kernel(int top_k, int64_t hidden, const int32_t* routing, const T* dy,
                         const T* permuted, float* dgates) {
  const int64_t pair = blockIdx.x;
  const int64_t row = routing[pair];
  float sum = 0;
  if (row >= 0) {  // the same for the whole block
    const T* gradient = dy + pair / top_k * hidden;
    for (int64_t c = threadIdx.x; c < hidden; c += kRowThreads) {
      sum += as_float(gradient[c]) * as_float(permuted[row * hidden + c]);
    }
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) dgates[pair] = sum;
}

Status check(const char* kernel, const Routing& shape) {
  if (shape.top_k < 1 || shape.top_k > kMostChoices || shape.top_k > shape.experts) {
    return refused(kernel, "more than 32 choices, or than experts");
  }
  if (shape.experts > 65535 || shape.tokens * shape.top_k > INT32_MAX || shape.rows() > INT32_MAX) {
    return refused(kernel, "more pairs or experts than a grid has blocks");
  }
  return Done{};
}

unsigned blocks_of(int64_t count) { return static_cast<unsigned>(count); }

}  // namespace

Status route_forward(cudaStream_t stream, const Routing& shape, const float* logits, float* gates,
                     int32_t* expert) {
  if (shape.tokens == 0) return Done{};
  MESHPLAN_CHECK(check("route_forward", shape));
  choose_experts_kernel<<<blocks_of(shape.tokens), 32, 0, stream>>>(
      static_cast<int>(shape.experts), static_cast<int>(shape.top_k), logits, gates, expert);
  return launched("route_forward");
}

Status route_rows(cudaStream_t stream, const Routing& shape, const int32_t* expert,
                  int32_t* routing) {
  if (shape.tokens == 0) return Done{};
  MESHPLAN_CHECK(check("route_rows", shape));
  if (shape.group < 1 || shape.tokens % shape.group != 0) {
    return refused("route_rows", "groups that do not come out even");
  }
  const dim3 grid(blocks_of(shape.tokens / shape.group), blocks_of(shape.experts));
  route_rows_kernel<<<grid, 32, 0, stream>>>(shape.group, static_cast<int>(shape.top_k),
                                             shape.capacity, expert, routing);
  return launched("route_rows");
}

Status route_backward(cudaStream_t stream, const Routing& shape, const float* dgates,
                      const float* gates, const int32_t* routing, float* dlogits) {
  if (shape.tokens == 0) return Done{};
  MESHPLAN_CHECK(check("route_backward", shape));
  route_backward_kernel<<<blocks_of(shape.tokens), kRowThreads, 0, stream>>>(
      static_cast<int>(shape.experts), static_cast<int>(shape.top_k), shape.rows_per_expert(),
      dgates, gates, routing, dlogits);
  return launched("route_backward");
}

Status dispatch(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
                const int32_t* routing, const float* gates, const void* x, void* permuted) {
  MESHPLAN_CHECK(check("dispatch", shape));
  return with_type(type, "dispatch", [&](auto t) -> Status {
    using T = decltype(t);
    MESHPLAN_CUDA(cudaMemsetAsync(permuted, 0,
                                  static_cast<size_t>(shape.rows() * hidden) * sizeof(T), stream));
    if (shape.tokens == 0) return Done{};
    dispatch_kernel<<<blocks_of(shape.tokens * shape.top_k), kRowThreads, 0, stream>>>(
        static_cast<int>(shape.top_k), hidden, routing, gates, static_cast<const T*>(x),
        static_cast<T*>(permuted));
    return launched("dispatch");
  });
}

Status combine(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
               const int32_t* routing, const float* gates, const void* permuted, void* y) {
  if (shape.tokens == 0) return Done{};
  MESHPLAN_CHECK(check("combine", shape));
  return with_type(type, "combine", [&](auto t) {
    using T = decltype(t);
    combine_kernel<<<blocks_of(shape.tokens), kRowThreads, 0, stream>>>(
        static_cast<int>(shape.top_k), hidden, routing, gates, static_cast<const T*>(permuted),
        static_cast<T*>(y));
    return launched("combine");
  });
}

Status gate_gradient(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
                     const int32_t* routing, const void* dy, const void* permuted, float* dgates) {
  if (shape.tokens == 0) return Done{};
  MESHPLAN_CHECK(check("gate_gradient", shape));
  return with_type(type, "gate_gradient", [&](auto t) {
    using T = decltype(t);
    gate_gradient_kernel<<<blocks_of(shape.tokens * shape.top_k), kRowThreads, 0, stream>>>(
        static_cast<int>(shape.top_k), hidden, routing, static_cast<const T*>(dy),
        static_cast<const T*>(permuted), dgates);
    return launched("gate_gradient");
  });
}

}  // namespace meshplan::cuda
