// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <dnnl.hpp>
#include <map>
#include <type_traits>
#include <unordered_map>

#include "profiler/kernels/product.hpp"

// oneDNN's threads are OpenMP's: every thread of ours keeps its products to itself.
extern "C" void omp_set_num_threads(int threads) __attribute__((weak));

namespace meshplan::cpu {
namespace {

constexpr size_t kKept = 64;  // shapes that a thread keeps generated code of

const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// Generated code, with handles on operands that every call sets anew.
struct Ready {
  dnnl::matmul product;
  dnnl::memory a, b, c;
  std::unordered_map<int, dnnl::memory> operands;
};

/// What one thread has prepared.
struct Products {
  dnnl::stream stream{processor()};
  std::map<std::array<int64_t, 9>, Ready> ready;
  Products() {
    if (omp_set_num_threads != nullptr) omp_set_num_threads(1);
  }

  Ready& of(const Product& s, bool rounded) {
    const std::array<int64_t, 9> key = {rounded, s.trans_a, s.trans_b, s.m,  s.n,
                                        s.k,     s.lda,     s.ldb,     s.ldc};
    if (const auto found = ready.find(key); found != ready.end()) return found->second;
    if (ready.size() >= kKept) ready.clear();
    using Type = dnnl::memory::data_type;
    using Dims = dnnl::memory::dims;
    const auto handle = [](int64_t rows, int64_t cols, bool transposed, int64_t ld, Type type) {
      const dnnl::memory::desc shape({rows, cols}, type, transposed ? Dims{1, ld} : Dims{ld, 1});
      return dnnl::memory(shape, processor(), nullptr);
    };
    const Type type = rounded ? Type::bf16 : Type::f32;
    Ready out;
    out.a = handle(s.m, s.k, s.trans_a, s.lda, type);
    out.b = handle(s.k, s.n, s.trans_b, s.ldb, type);
    out.c = handle(s.m, s.n, false, s.ldc, Type::f32);
    out.product = dnnl::matmul(dnnl::matmul::primitive_desc(
        dnnl::matmul::desc(out.a.get_desc(), out.b.get_desc(), out.c.get_desc()), processor()));
    out.operands = {{DNNL_ARG_SRC, out.a}, {DNNL_ARG_WEIGHTS, out.b}, {DNNL_ARG_DST, out.c}};
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

template <class T>
bool onednn_product(const Product& shape, const T* a, const T* b, float* c) try {
  Products& own = products();
  Ready& ready = own.of(shape, std::is_same_v<T, uint16_t>);
  ready.a.set_data_handle(open(a));
  ready.b.set_data_handle(open(b));
  ready.c.set_data_handle(c);
  ready.product.execute(own.stream, ready.operands);
  own.stream.wait();
  return true;
} catch (const dnnl::error&) {
  return false;
}
template bool onednn_product(const Product&, const float*, const float*, float*);
template bool onednn_product(const Product&, const uint16_t*, const uint16_t*, float*);

}  // namespace meshplan::cpu
