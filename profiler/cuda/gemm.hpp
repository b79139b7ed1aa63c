// SPDX-License-Identifier: Apache-2.0
// Matrix products of the step program on the GPU by cuBLASLt. Row-major, layouts of
// strategies/program/op.hpp:
//   tn  c[m,n] = a[m,k] b[n,k]^T     nn  c[m,n] = a[m,k] b[k,n]     nt  c[m,n] = a[k,m]^T b[k,n]
// plus beta c: beta = 1 adds a weight gradient to those of earlier micro-batches in the product's
// epilogue. a, b in one type of bf16, fp32 or fp8; c in bf16 or fp32; sums in fp32 (fp32 inputs
// without TF32, so that the GPU can be compared with the CPU). fp8: layout tn alone (see fp8.hpp),
// b in e4m3, a in either format, each with its scale; from compute capability 8.9, else refused.
//
// For each shape the heuristics are asked for several kernels; they are timed on the first use,
// which therefore waits for the stream, and the fastest is kept. Under graph capture nothing is
// timed: the first choice of the heuristics is taken, and kept. Values of c survive the timing.
#pragma once
#include <map>
#include <memory>
#include <tuple>

#include "profiler/cuda/memory.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::cuda {

struct Product {
  int64_t m = 0, n = 0, k = 0;
  Layout layout = Layout::tn;
  DType in = DType::bf16, out = DType::bf16;
  bool accumulate = false;  ///< beta = 1, else 0
  bool bias = false;        ///< adds bias [n] in the type of c to each row
  bool a_e5m2 = false;      ///< fp8: a is a gradient
  /// So many products at once, their matrices so many elements apart. Not in fp8, with a bias or
  /// accumulating.
  int64_t count = 1, a_stride = 0, b_stride = 0, c_stride = 0;
  auto key() const {
    return std::tuple(m, n, k, layout, in, out, accumulate, bias, a_e5m2, count, a_stride, b_stride,
                      c_stride);
  }
};

/// What 8-bit operands are multiplied by, on the device, 16-byte aligned (cuBLASLt refuses others).
struct ProductScales {
  const float *a = nullptr, *b = nullptr;
};

class Products {
 public:
  /// Error (missing): no cuBLASLt. workspace_bytes: for split sums; 32 MiB is NVIDIA's advice for
  /// Hopper.
  static Result<std::unique_ptr<Products>> make(int64_t workspace_bytes = 32 << 20);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /// a, b, c 16-byte aligned, sizes at least 1. Calls of one object are ordered by one stream at a
  /// time: the workspace is shared. Error: no kernel for this shape and type, or the library's.
  Status run(cudaStream_t stream, const Product& product, const void* a, const void* b, void* c,
             const void* bias = nullptr, ProductScales scales = {});
  /// Candidates that are timed per shape; 1: the heuristics' first choice is taken untimed.
  int candidates = 8;

  struct Api;
  struct Plan;

 private:
  Products();
  Result<Plan*> plan_of(cudaStream_t stream, const Product& product, const void* a, const void* b,
                        void* c, const void* bias, ProductScales scales);
  Status choose(cudaStream_t stream, Plan& plan, const void* a, const void* b, void* c);
  Status start(cudaStream_t stream, const Plan& plan, size_t candidate, const void* a,
               const void* b, const void* c_in, void* c);

  std::unique_ptr<Api> api_;
  DeviceMemory workspace_;
  std::map<decltype(Product().key()), std::unique_ptr<Plan>> plans_;
};

}  // namespace meshplan::cuda
