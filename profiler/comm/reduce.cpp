// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/reduce.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan {
namespace {

// Stored and summed types: equal but for bf16.
template <class T>
T load(const T* x) {
  return *x;
}
float load(const uint16_t* bf16) { return cpu::float_of(*bf16); }
template <class T>
void store(T value, T* y) {
  *y = value;
}
void store(float value, uint16_t* bf16) { *bf16 = cpu::bf16_of(value); }

template <class T, class Sum = T>
void reduce_typed(ReduceOp op, std::span<const void* const> sources, int64_t begin, int64_t end,
                  const std::function<void(const void*, int64_t, int64_t)>& emit) {
  constexpr int64_t kPiece = 2048;  // elements: stays in the first-level cache
  std::array<Sum, kPiece> sum;
  std::array<T, kPiece> out;
  for (int64_t first = begin; first < end; first += kPiece) {
    const int64_t count = std::min(kPiece, end - first);
    for (int64_t i = 0; i < count; ++i) {
      sum[static_cast<size_t>(i)] = load(static_cast<const T*>(sources[0]) + first + i);
    }
    for (const void* source : sources.subspan(1)) {
      const T* x = static_cast<const T*>(source) + first;
      if (op == ReduceOp::sum) {
        for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] += load(x + i);
      } else {
        for (int64_t i = 0; i < count; ++i) {
          Sum& m = sum[static_cast<size_t>(i)];
          const Sum other = load(x + i);
          m = other > m ? other : m;
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      store(sum[static_cast<size_t>(i)], out.data() + i);
    }
    constexpr int64_t kSize = sizeof(T);
    emit(out.data(), first * kSize, count * kSize);
  }
}

}  // namespace

int64_t bytes_of(Element element) {
  switch (element) {
    case Element::byte:
      return 1;
    case Element::bf16:
      return 2;
    case Element::fp32:
      return 4;
    case Element::fp64:
      return 8;
  }
  return 0;
}

void reduce_in_order(Element element, ReduceOp op, std::span<const void* const> sources,
                     int64_t begin, int64_t end,
                     const std::function<void(const void*, int64_t, int64_t)>& emit) {
  assert(element != Element::byte);
  const int64_t size = bytes_of(element);
  if (element == Element::fp32) {
    reduce_typed<float>(op, sources, begin / size, end / size, emit);
  } else if (element == Element::bf16) {
    reduce_typed<uint16_t, float>(op, sources, begin / size, end / size, emit);
  } else {
    reduce_typed<double>(op, sources, begin / size, end / size, emit);
  }
}

int64_t part_begin(int64_t bytes, Element element, int part, int parts) {
  const int64_t size = bytes_of(element);
  return bytes / size * part / parts * size;
}

}  // namespace meshplan
