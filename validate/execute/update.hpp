// SPDX-License-Identifier: Apache-2.0
// End of a step: global gradient norm, clipping, AdamW on every rank's shards.
#pragma once
#include <functional>

#include "validate/execute/stage_runner.hpp"

namespace meshplan {

/// Sum of the squares of all gradients that this rank answers for: each element of the model
/// counts once over the world.
double own_squared_norm(StageRunner& runner, RankEnv& env);

/// `step` counts from 0; clip: factor of the gradients.
void update(StageRunner& runner, RankEnv& env, int64_t step, double clip);

/// A part of a rank's shard of one flat, for inspection and checkpoints.
struct ShardView {
  const TensorPart& part;
  FlatRange range;  ///< that the pointers cover, see for_each_run
  float *weight, *gradient, *moment1, *moment2;
};
void for_each_shard(StageRunner& runner, RankEnv& env,
                    const std::function<void(const ShardView&)>& visit);

}  // namespace meshplan
