// SPDX-License-Identifier: Apache-2.0
// Token embedding on the CPU with the vocabulary cut over ranks: this rank's table holds rows
// vocab_begin .. vocab_begin + vocab_rows - 1. Tokens of other ranks give zero rows, so that the
// sum over the ranks is the embedding (Megatron-LM, Shoeybi et al. 2019, section 3).
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

/// y[r, :] = table[token[r] - vocab_begin, :] or 0; token [rows], table [vocab_rows, cols].
template <class T>
void embedding_forward(Workers& workers, int64_t rows, int64_t cols, int64_t vocab_begin,
                       int64_t vocab_rows, const int32_t* token, const T* table, T* y);

/// dtable[token[r] - vocab_begin, :] += dy[r, :], rows in order; other ranks' tokens are skipped.
template <class T>
void embedding_backward(Workers& workers, int64_t rows, int64_t cols, int64_t vocab_begin,
                        int64_t vocab_rows, const int32_t* token, const T* dy, T* dtable);

}  // namespace meshplan::cpu
