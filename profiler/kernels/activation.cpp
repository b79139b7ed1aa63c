// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/activation.hpp"

#include <cassert>

#include "profiler/kernels/vector_math.hpp"

namespace meshplan::cpu {
namespace {

template <class T>
struct Point {
  T value, slope;
};

struct Silu {
  template <class T>
  static Point<T> at(T x) {
    const T s = sigmoid(x);
    return {x * s, s * (T(1) + x * (T(1) - s))};
  }
};

struct Gelu {
  template <class T>
  static Point<T> at(T x) {
    const T a = T(0.7978845608028654);  // sqrt(2 / pi)
    const T b = T(0.044715);
    // (1 + tanh(u)) / 2 = sigmoid(2u): no cancellation for large negative x
    const T s = sigmoid(T(2) * a * (x + b * x * x * x));
    return {x * s, s + x * s * (T(1) - s) * T(2) * a * (T(1) + T(3) * b * x * x)};
  }
};

struct Relu {
  template <class T>
  static Point<T> at(T x) {
    return {x > T(0) ? x : T(0), x > T(0) ? T(1) : T(0)};
  }
};

struct SquaredRelu {
  template <class T>
  static Point<T> at(T x) {
    const T y = x > T(0) ? x : T(0);
    return {y * y, T(2) * y};
  }
};

template <class F, class T>
void forward_rows(bool gated, int64_t begin, int64_t end, int64_t cols, const T* x, T* y) {
  for (int64_t r = begin; r < end; ++r) {
    const T* in = x + r * cols * (gated ? 2 : 1);
    T* out = y + r * cols;
    if (gated) {
      for (int64_t c = 0; c < cols; ++c) out[c] = F::at(in[c]).value * in[c + cols];
    } else {
      for (int64_t c = 0; c < cols; ++c) out[c] = F::at(in[c]).value;
    }
  }
}

template <class F, class T>
void backward_rows(bool gated, int64_t begin, int64_t end, int64_t cols, const T* x, const T* dy,
                   T* dx) {
  for (int64_t r = begin; r < end; ++r) {
    const T* in = x + r * cols * (gated ? 2 : 1);
    T* out = dx + r * cols * (gated ? 2 : 1);
    const T* dy_row = dy + r * cols;
    if (gated) {  // NOLINT(bugprone-branch-clone): loops under a pragma are one to it
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) {
        const Point<T> f = F::at(in[c]);
        const T up = in[c + cols];
        out[c] = dy_row[c] * up * f.slope;
        out[c + cols] = dy_row[c] * f.value;
      }
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) out[c] = dy_row[c] * F::at(in[c]).slope;
    }
  }
}

template <class Visitor>
void visit(ActivationType type, const Visitor& visitor) {
  switch (type) {
    case ActivationType::swiglu:
    case ActivationType::silu:
      return visitor(Silu{});
    case ActivationType::geglu:
    case ActivationType::gelu:
      return visitor(Gelu{});
    case ActivationType::relu:
      return visitor(Relu{});
    case ActivationType::squared_relu:
      return visitor(SquaredRelu{});
  }
  assert(false);
}

}  // namespace

template <class T>
void activation_forward(Workers& workers, ActivationType type, int64_t rows, int64_t cols,
                        const T* x, T* y) {
  visit(type, [&]<class F>(F) {
    workers.split(rows, 4, [&](int64_t begin, int64_t end) {
      forward_rows<F>(is_gated(type), begin, end, cols, x, y);
    });
  });
}

template <class T>
void activation_backward(Workers& workers, ActivationType type, int64_t rows, int64_t cols,
                         const T* x, const T* dy, T* dx) {
  visit(type, [&]<class F>(F) {
    workers.split(rows, 4, [&](int64_t begin, int64_t end) {
      backward_rows<F>(is_gated(type), begin, end, cols, x, dy, dx);
    });
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                  \
  template void activation_forward<T>(Workers&, ActivationType, int64_t, int64_t, const T*, T*); \
  template void activation_backward<T>(Workers&, ActivationType, int64_t, int64_t, const T*,     \
                                       const T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
