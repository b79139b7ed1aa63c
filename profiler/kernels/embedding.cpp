// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/embedding.hpp"

#include <algorithm>

namespace meshplan::cpu {

template <class T>
void embedding_forward(Workers& workers, int64_t rows, int64_t cols, int64_t vocab_begin,
                       int64_t vocab_rows, const int32_t* token, const T* table, T* y) {
  workers.split(rows, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t row = token[r] - vocab_begin;
      if (row < 0 || row >= vocab_rows) {
        std::fill_n(y + r * cols, cols, T(0));
      } else {
        std::copy_n(table + row * cols, cols, y + r * cols);
      }
    }
  });
}

template <class T>
void embedding_backward(Workers& workers, int64_t rows, int64_t cols, int64_t vocab_begin,
                        int64_t vocab_rows, const int32_t* token, const T* dy, T* dtable) {
  // cut by columns: a token that occurs twice is summed in row order by one worker
  workers.split(cols, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = token[r] - vocab_begin;
      if (row < 0 || row >= vocab_rows) continue;
      for (int64_t c = begin; c < end; ++c) dtable[row * cols + c] += dy[r * cols + c];
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                    \
  template void embedding_forward<T>(Workers&, int64_t, int64_t, int64_t, int64_t, const int32_t*, \
                                     const T*, T*);                                                \
  template void embedding_backward<T>(Workers&, int64_t, int64_t, int64_t, int64_t,                \
                                      const int32_t*, const T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
