// SPDX-License-Identifier: Apache-2.0
// End of a step: global gradient norm, clipping, AdamW on every rank's shards.
#pragma once
#include <functional>

#include "validate/execute/stage_runner.hpp"

namespace meshplan {

/// Gives the device the squares of all gradients that this rank answers for: each element of the
/// model counts once over the world.
Status add_squared_norm(StageRunner& runner, RankEnv& env);

/// `step` counts from 0; clip: factor of the gradients.
Status update(StageRunner& runner, RankEnv& env, int64_t step, double clip);

/// A part of a rank's shard of one flat, for inspection and checkpoints.
struct ShardView {
  const TensorPart& part;
  FlatRange range;                                    ///< that the tensors cover, see for_each_run
  Tensor weight, gradient, master, moment1, moment2;  ///< master: may be the weight
};
Status for_each_shard(StageRunner& runner, RankEnv& env,
                      const std::function<Status(const ShardView&)>& visit);

}  // namespace meshplan
