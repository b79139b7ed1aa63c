// SPDX-License-Identifier: Apache-2.0
// Which plans may a published run have used? One, where the row states all of it; else candidates
// in the order in which they are to be preferred.
//
// Rules for what is not stated (each use is noted in Question::chosen):
//   gpus         tp * pp * cp * dp
//   tp, pp       what the other degrees leave; else 1 where one GPU or a data-parallel trainer runs
//   cp, ep       1
//   dp           gpus / (tp * pp * cp), also where the column contradicts the number of GPUs
//   sp           the trainer's default
//   dp_shard     the trainer's default ZeRO level over all data-parallel ranks; also where the
//                column's level cannot hold weights and gradients: fully sharded, if the trainer
//                can
//   global batch one micro-batch per rank and step
//   micro-batch  of the powers of two that divide a rank's share, the fastest that fits
//   vpp          1, or for trainers that interleave, of the divisions into equal chunks the fastest
//                that fits
//   recompute    modules that the source's recipes name (statements of mapping.yaml); else the
//                trainer's default; if nothing fits with it, more
//   etp          that of the source's recipes; else 1 or, as far as the ranks reach, tp: the
//                fastest that fits
//   precision    bf16, or fp16 where the GPU has no bf16 products
#pragma once
#include <string>
#include <vector>

#include "validate/published/case.hpp"
#include "validate/published/mapping.hpp"
#include "validate/published/question_row.hpp"
#include "validate/published/row_recompute.hpp"

namespace meshplan {

/// Fills batch and levels of `question`, whose model, trainer and cluster's GPU are known. `gpus`
/// is the number of GPUs (from gpus_of).
Status plans_of(QuestionRow& row, const TrainerDefaults& defaults, int64_t gpus,
                Question& question);

/// Number of GPUs: the column unless the degrees need more.
Result<int64_t> gpus_of(QuestionRow& row, std::vector<std::string>& chosen);

/// "bf16", "mxfp8", "nvfp4", ...
Result<DType> precision_words(const std::string& text);

/// "", "none", "0" -> 0; "1", "true", "cpu 25%" -> share of the optimizer states on the host.
Result<double> offload_share(const std::string& text);

/// "zero3", "none", "fsdp", "hsdp:4", ...: ZeRO level and, for hsdp, ranks per sharded group
/// (0: all of them).
struct ShardWords {
  bool stated = false;
  int zero = 0;
  int64_t group = 0;
};
Result<ShardWords> shard_words(const std::string& text);

}  // namespace meshplan
