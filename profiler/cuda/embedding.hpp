// SPDX-License-Identifier: Apache-2.0
// Token embedding on the GPU with the vocabulary cut over ranks, as in
// profiler/kernels/embedding.hpp. token [rows] in int32, table [vocab_rows, cols], y, dy
// [rows, cols], all in one type of bf16 or fp32 but dtable, which has its own.
// Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"

namespace meshplan::cuda {

/// y[r, :] = table[token[r] - vocab_begin, :], or 0 for tokens of other ranks.
Status embedding_forward(cudaStream_t stream, int64_t rows, int64_t cols, int64_t vocab_begin,
                         int64_t vocab_rows, const int32_t* token, DType type, const void* table,
                         void* y);

/// dtable[token[r] - vocab_begin, :] += dy[r, :], equal tokens in the order of their rows and
/// without atomics. Every row looks at the tokens of all others: rows^2 reads of 4 bytes from
/// cache.
Status embedding_backward(cudaStream_t stream, int64_t rows, int64_t cols, int64_t vocab_begin,
                          int64_t vocab_rows, const int32_t* token, DType type, const void* dy,
                          DType gradient_type, void* dtable);

}  // namespace meshplan::cuda
