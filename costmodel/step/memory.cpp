// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "costmodel/step/estimate.hpp"

namespace meshplan {
namespace {

/// Communicators that this rank belongs to.
int64_t communicators(const Plan& plan) {
  int64_t count = 1;
  for (const int degree : {plan.tp, plan.cp, plan.pp, plan.ep, plan.dp_shard, plan.dp_replicate}) {
    if (degree > 1) ++count;
  }
  return count;
}

}  // namespace

MemoryEstimate memory_of(const std::vector<std::pair<int, const StageMemory*>>& stages,
                         const ScheduleShape& shape, const Plan& plan, const Trainer& trainer,
                         const Gpu& gpu, const Constants& constants) {
  MemoryEstimate result;
  result.capacity_bytes = gpu.memory_usable_bytes > 0 ? gpu.memory_usable_bytes : gpu.memory_bytes;
  result.peak_bytes = -1;
  for (const auto& [index, stage] : stages) {
    const int64_t activations = peak_saved(shape, index, stage->chunks);
    const auto slack =
        static_cast<int64_t>(static_cast<double>(activations) * (constants.activation_slack));
    const int64_t groups = plan.world() > 1 ? communicators(plan) : 0;
    const int64_t libraries = trainer.context_bytes + trainer.workspace_bytes;
    const int64_t nccl = groups * trainer.nccl_bytes_per_group;
    const BlockMemory& states = stage->states;
    const int64_t total = states.parameters + states.gathered + states.gradients +
                          states.optimizer + activations + slack + libraries + nccl;
    if (total <= result.peak_bytes) continue;
    result.peak_bytes = total;
    result.stage = index;
    const auto part = [](const char* name, int64_t bytes) {
      return Part{name, static_cast<double>(bytes)};
    };
    result.parts = {part("parameters", states.parameters + states.gathered),
                    part("gradients", states.gradients),
                    part("optimizer states", states.optimizer),
                    part("activations", activations),
                    part("allocator slack", slack),
                    part("communicators", nccl),
                    part("context and workspaces", libraries)};
  }
  return result;
}

}  // namespace meshplan
