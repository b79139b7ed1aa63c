// SPDX-License-Identifier: Apache-2.0
// How few GPUs train this model in that time? `scale` turned around.
#pragma once
#include "planner/scale/scale.hpp"

namespace meshplan {

struct SizeQuestion {
  SearchQuestion search;
  double days = 0;
  bool batch_stated = false;  ///< else the batch of each number of GPUs is `batch_of` it
  int64_t (*batch_of)(int64_t sequence, int64_t gpus) = nullptr;
  int64_t most_gpus = 262'144;
};

struct SizeAnswer {
  SizeQuestion question;
  double tokens = 0;
  std::vector<ScalePoint> tried;  ///< ascending
  std::optional<size_t> chosen;   ///< smallest that meets the target, failures included
  std::optional<size_t> safe;     ///< smallest that also does at the slow end of the error band
};

/// Doubles from one GPU until the target is met also at the slow end of the band, then tries
/// eighths of a doubling (whole nodes) below both ends. Errors: those of the search.
Result<SizeAnswer> size_for(const SizeQuestion& question, const ScaleInputs& inputs,
                            SearchMemory& memory);

}  // namespace meshplan
