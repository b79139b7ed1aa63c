// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/update.hpp"

#include <algorithm>

namespace meshplan {
namespace {

/// What of a part lies in a range, from the start of the range; parts are contiguous in their flat.
FlatRange overlap(const TensorPart& part, const FlatRange& range) {
  const int64_t begin = std::max(part.flat_offset, range.begin);
  const int64_t end = std::min(part.flat_offset + part.rows * part.cols, range.begin + range.count);
  return {begin - range.begin, std::max<int64_t>(0, end - begin)};
}

}  // namespace

Status for_each_shard(StageRunner& runner, RankEnv& env,
                      const std::function<Status(const ShardView&)>& visit) {
  for (StageRunner::Instance* instance : runner.instances()) {
    const BlockState& state = instance->state;
    for (size_t f = 0; f < state.block().states.size(); ++f) {
      const FlatState& flat = state.block().states[f];
      const FlatRange own = own_range(flat, env.place());
      for (const TensorPart& part : state.parts(f)) {
        if (overlap(part, own).count == 0) continue;
        MESHPLAN_CHECK(visit({part, own, state.at(flat.weight_shard), state.at(flat.gradient_shard),
                              state.master(flat), state.at(flat.moment1), state.at(flat.moment2)}));
      }
    }
  }
  return Done{};
}

Status add_squared_norm(StageRunner& runner, RankEnv& env) {
  return for_each_shard(runner, env, [&](const ShardView& view) {
    const FlatRange piece = overlap(view.part, view.range);
    return env.device().add_squared_norm(piece.count, view.gradient.from(piece.begin),
                                         view.part.copies);
  });
}

Status update(StageRunner& runner, RankEnv& env, int64_t step, double clip) {
  cpu::AdamW adamw = env.options().adamw;
  adamw.learning_rate = learning_rate(env.options(), step);
  cpu::AdamW plain = adamw;
  plain.weight_decay = 0;
  return for_each_shard(runner, env, [&](const ShardView& view) {
    const FlatRange piece = overlap(view.part, view.range);
    const int64_t at = piece.begin;
    return env.device().adamw(view.part.decay ? adamw : plain, step + 1, clip, piece.count,
                              view.gradient.from(at), view.master.from(at), view.moment1.from(at),
                              view.moment2.from(at), view.weight.from(at));
  });
}

}  // namespace meshplan
