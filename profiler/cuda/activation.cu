// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/activation.hpp"

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

struct Value {
  float y, slope;
};

__device__ inline Value silu(float x) {
  const float s = 1.0F / (1.0F + __expf(-x));
  return {x * s, s * (1.0F + x * (1.0F - s))};
}
/// tanh form: x s(2u) with u = sqrt(2/pi) (x + 0.044715 x^3), s the logistic function.
__device__ inline Value gelu(float x) {
  const float u = 0.7978845608F * (x + 0.044715F * x * x * x);
  const float t = tanhf(u);
  const float du = 0.7978845608F * (1.0F + 3.0F * 0.044715F * x * x);
  return {0.5F * x * (1.0F + t), 0.5F * (1.0F + t) + 0.5F * x * (1.0F - t * t) * du};
}
/// The same branch in every thread of a launch.
__device__ inline Value value_of(ActivationType type, float x) {
  switch (type) {
    case ActivationType::swiglu:
    case ActivationType::silu:
      return silu(x);
    case ActivationType::geglu:
    case ActivationType::gelu:
      return gelu(x);
    case ActivationType::relu:
      return {fmaxf(x, 0.0F), x > 0 ? 1.0F : 0.0F};
    case ActivationType::squared_relu:
      return {x > 0 ? x * x : 0.0F, 2.0F * fmaxf(x, 0.0F)};
  }
  return {0, 0};
}

template <class T, int N>
__global__ void forward_activation_kernel(ActivationType type, bool gated, int64_t rows,
                                          int64_t packs, const Pack<T, N>* x, Pack<T, N>* y) {
  const int64_t width = gated ? 2 * packs : packs;
  for (int64_t i = thread_index(); i < rows * packs; i += thread_count()) {
    const int64_t row = i / packs, at = row * width + i % packs;
    const Pack<T, N> gate = x[at];
    Pack<T, N> out;
    if (gated) out = x[at + packs];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float value = value_of(type, as_float(gate.v[k])).y;
      out.v[k] = as<T>(gated ? value * as_float(out.v[k]) : value);
    }
    y[i] = out;
  }
}

template <class T, int N>
__global__ void backward_activation_kernel(ActivationType type, bool gated, int64_t rows,
                                           int64_t packs, const Pack<T, N>* x, const Pack<T, N>* dy,
                                           Pack<T, N>* dx) {
  const int64_t width = gated ? 2 * packs : packs;
  for (int64_t i = thread_index(); i < rows * packs; i += thread_count()) {
    const int64_t row = i / packs, at = row * width + i % packs;
    Pack<T, N> gate = x[at], up = gate;
    if (gated) up = x[at + packs];
    const Pack<T, N> d = dy[i];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const Value f = value_of(type, as_float(gate.v[k]));
      const float g = as_float(d.v[k]), u = gated ? as_float(up.v[k]) : 1.0F;
      gate.v[k] = as<T>(g * u * f.slope);
      up.v[k] = as<T>(g * f.y);
    }
    dx[at] = gate;
    if (gated) dx[at + packs] = up;
  }
}

bool is_gated(ActivationType type) {
  return type == ActivationType::swiglu || type == ActivationType::geglu;
}

}  // namespace

Status activation_forward(cudaStream_t stream, ActivationType activation, int64_t rows,
                          int64_t cols, DType type, const void* x, void* y) {
  if (rows * cols == 0) return Done{};
  const auto run = [&]<class T, int N>(T, std::integral_constant<int, N>) {
    using P = Pack<T, N>;
    const int64_t packs = cols / N;
    forward_activation_kernel<T, N><<<grid_for(rows * packs, 256), 256, 0, stream>>>(
        activation, is_gated(activation), rows, packs, static_cast<const P*>(x),
        static_cast<P*>(y));
    return launched("activation_forward");
  };
  return with_type(type, "activation_forward", [&](auto t) {
    constexpr int kWide = 16 / sizeof(t);
    const bool wide = cols % kWide == 0 && aligned16(x, y);
    return wide ? run(t, std::integral_constant<int, kWide>{})
                : run(t, std::integral_constant<int, 1>{});
  });
}

Status activation_backward(cudaStream_t stream, ActivationType activation, int64_t rows,
                           int64_t cols, DType type, const void* x, const void* dy, void* dx) {
  if (rows * cols == 0) return Done{};
  const auto run = [&]<class T, int N>(T, std::integral_constant<int, N>) {
    using P = Pack<T, N>;
    const int64_t packs = cols / N;
    backward_activation_kernel<T, N><<<grid_for(rows * packs, 256), 256, 0, stream>>>(
        activation, is_gated(activation), rows, packs, static_cast<const P*>(x),
        static_cast<const P*>(dy), static_cast<P*>(dx));
    return launched("activation_backward");
  };
  return with_type(type, "activation_backward", [&](auto t) {
    constexpr int kWide = 16 / sizeof(t);
    const bool wide = cols % kWide == 0 && aligned16(x, dy, dx);
    return wide ? run(t, std::integral_constant<int, kWide>{})
                : run(t, std::integral_constant<int, 1>{});
  });
}

}  // namespace meshplan::cuda
