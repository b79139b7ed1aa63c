// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/reduce.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace meshplan {
namespace {

template <class T>
void reduce_typed(ReduceOp op, std::span<const void* const> sources, int64_t begin, int64_t end,
                  const std::function<void(const void*, int64_t, int64_t)>& emit) {
  constexpr int64_t kPiece = 2048;  // elements: stays in the first-level cache
  std::array<T, kPiece> sum;
  for (int64_t first = begin; first < end; first += kPiece) {
    const int64_t count = std::min(kPiece, end - first);
    std::copy_n(static_cast<const T*>(sources[0]) + first, count, sum.data());
    for (const void* source : sources.subspan(1)) {
      const T* x = static_cast<const T*>(source) + first;
      if (op == ReduceOp::sum) {
        for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] += x[i];
      } else {
        for (int64_t i = 0; i < count; ++i) {
          T& m = sum[static_cast<size_t>(i)];
          m = x[i] > m ? x[i] : m;
        }
      }
    }
    constexpr int64_t kSize = sizeof(T);
    emit(sum.data(), first * kSize, count * kSize);
  }
}

}  // namespace

int64_t bytes_of(Element element) {
  switch (element) {
    case Element::byte:
      return 1;
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
  } else {
    reduce_typed<double>(op, sources, begin / size, end / size, emit);
  }
}

int64_t part_begin(int64_t bytes, Element element, int part, int parts) {
  const int64_t size = bytes_of(element);
  return bytes / size * part / parts * size;
}

}  // namespace meshplan
