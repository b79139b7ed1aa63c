// SPDX-License-Identifier: Apache-2.0
// Cross-entropy on the GPU with the vocabulary cut over ranks: the parts of
// profiler/kernels/cross_entropy.hpp on logits [tokens, columns] in bf16 or fp32, per-token numbers
// in fp32. Rows are independent: a caller that has no room for all logits works in chunks of rows.
// Where the whole vocabulary is on one rank, `maximum_and_sum` reads the logits once for both.
// Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"
#include "profiler/kernels/cross_entropy.hpp"

namespace meshplan::cuda {

using cpu::VocabularyShard;

Status cross_entropy_maximum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                             const void* logits, float* maximum);
/// sum, target [tokens]; a shard that does not hold the target leaves 0.
Status cross_entropy_sum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                         const void* logits, const int32_t* targets, const float* maximum,
                         float* sum, float* target);
/// Both parts of a rank that holds the whole vocabulary, with a running maximum.
Status cross_entropy_maximum_and_sum(cudaStream_t stream, const VocabularyShard& shard, DType type,
                                     const void* logits, const int32_t* targets, float* maximum,
                                     float* sum, float* target);
/// *result (double, on the device) = sum over the tokens of log(sum) - target, in a fixed order.
Status cross_entropy_loss(cudaStream_t stream, int64_t tokens, const float* sum,
                          const float* target, double* result);
/// dlogits = factor * (softmax - [target]), padding 0; dlogits may be logits.
Status cross_entropy_gradient(cudaStream_t stream, const VocabularyShard& shard, float factor,
                              DType type, const void* logits, const int32_t* targets,
                              const float* maximum, const float* sum, void* dlogits);

}  // namespace meshplan::cuda
