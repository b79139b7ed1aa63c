// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <dnnl.hpp>
#include <map>

#include "profiler/kernels/bf16_product.hpp"

// oneDNN's threads are OpenMP's: every thread of ours keeps its products to itself.
extern "C" void omp_set_num_threads(int threads) __attribute__((weak));

namespace meshplan::cpu {
namespace {

constexpr size_t kKept = 64;  // shapes that a thread keeps generated code of

const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

struct Ready {
  dnnl::memory::desc a, b, c;
  dnnl::matmul product;
};

/// What one thread has prepared.
struct Products {
  dnnl::stream stream{processor()};
  std::map<std::array<int64_t, 8>, Ready> ready;
  Products() {
    if (omp_set_num_threads != nullptr) omp_set_num_threads(1);
  }

  const Ready& of(const Bf16Product& s) {
    const std::array<int64_t, 8> key = {s.trans_a, s.trans_b, s.m, s.n, s.k, s.lda, s.ldb, s.ldc};
    if (const auto found = ready.find(key); found != ready.end()) return found->second;
    if (ready.size() >= kKept) ready.clear();
    using Type = dnnl::memory::data_type;
    using Dims = dnnl::memory::dims;
    const auto strides = [](bool transposed, int64_t ld) {
      return transposed ? Dims{1, ld} : Dims{ld, 1};
    };
    Ready out;
    out.a = {{s.m, s.k}, Type::bf16, strides(s.trans_a, s.lda)};
    out.b = {{s.k, s.n}, Type::bf16, strides(s.trans_b, s.ldb)};
    out.c = {{s.m, s.n}, Type::f32, strides(false, s.ldc)};
    out.product = dnnl::matmul(
        dnnl::matmul::primitive_desc(dnnl::matmul::desc(out.a, out.b, out.c), processor()));
    return ready.emplace(key, std::move(out)).first->second;
  }
};

Products& products() {
  static thread_local Products own;
  return own;
}

/// oneDNN reads operands through pointers that may write.
void* open(const void* data) { return const_cast<void*>(data); }

}  // namespace

bool onednn_multiplies_bf16() {
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16;
}

bool onednn_product(const Bf16Product& shape, const uint16_t* a, const uint16_t* b, float* c) try {
  Products& own = products();
  const Ready& ready = own.of(shape);
  const dnnl::memory left(ready.a, processor(), open(a)), right(ready.b, processor(), open(b)),
      out(ready.c, processor(), c);
  ready.product.execute(own.stream,
                        {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, out}});
  own.stream.wait();
  return true;
} catch (const dnnl::error&) {
  return false;
}

}  // namespace meshplan::cpu
