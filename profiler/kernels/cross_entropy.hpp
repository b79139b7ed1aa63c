// SPDX-License-Identifier: Apache-2.0
// Cross-entropy on the CPU with the vocabulary cut over ranks (Megatron-LM, Shoeybi et al. 2019,
// section 3: only per-token numbers cross the ranks). This rank's logits [tokens, columns] stand
// for vocabulary entries begin .. begin + columns - 1, of which those below `vocab` exist; the rest
// is padding: never the maximum, no share of the sum, gradient 0. Per token:
//   maximum   m = max of the logits                            -> all-reduce (max)
//   sum       s = sum of exp(x - m), t = x[target] - m or 0     -> all-reduce (sum)
//   loss      sum over tokens of log(s) - t
//   gradient  dx = factor * (exp(x - m) / s - [target])
// Every token has a target: rows to be left out are for the caller to leave out.
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

struct VocabularyShard {
  int64_t tokens = 0, columns = 0;
  int64_t begin = 0;  ///< first vocabulary entry of this rank
  int64_t vocab = 0;  ///< entries of the whole vocabulary, without padding
};

template <class T>
void cross_entropy_maximum(Workers& workers, const VocabularyShard& shard, const T* logits,
                           T* maximum);

/// sum, target [tokens]; a shard that does not hold the target leaves 0.
template <class T>
void cross_entropy_sum(Workers& workers, const VocabularyShard& shard, const T* logits,
                       const int32_t* targets, const T* maximum, T* sum, T* target);

/// Sum (not mean) of the losses of all tokens, in double and in token order.
template <class T>
double cross_entropy_loss(int64_t tokens, const T* sum, const T* target);

/// dlogits may be logits.
template <class T>
void cross_entropy_gradient(Workers& workers, const VocabularyShard& shard, T factor,
                            const T* logits, const int32_t* targets, const T* maximum, const T* sum,
                            T* dlogits);

}  // namespace meshplan::cpu
