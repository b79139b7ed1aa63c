// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "costmodel/step/estimate.hpp"

namespace meshplan {
namespace {

/// Share of the largest temporaries of a stage that a caching allocator holds beyond what is in
/// use: their freed blocks are split by tensors that live longer, so that the next micro-batch's do
/// not fit and get new ones. What splits cannot be given back before running out of memory.
/// Assumed; it separates the runs from the out-of-memory rows of Hagemann et al. 2023 with whole
/// logits.
constexpr double kTemporarySlack = 0.5;
/// The same where torch's cross_entropy leaves several tensors of the logits' size behind and
/// autograd makes 16-bit gradients in the first backward pass: they land in those, so that the next
/// micro-batch needs all of them anew. From 1 to 1.5 the same sheets are told apart alike.
constexpr double kTemporarySlackOfLoss = 1;

/// Bytes that a caching allocator holds beyond what is in use. Segments that grow lose little.
int64_t allocator_slack(int64_t activations, int64_t largest, const Plan& plan,
                        const Trainer& trainer, const Constants& constants) {
  const auto all = static_cast<double>(activations);
  if (trainer.expandable_segments) return static_cast<int64_t>(all * trainer.allocator_slack);
  const bool separate = !trainer.fused_cross_entropy && !trainer.loss_in_place &&
                        !trainer.wgrad_accumulation_fused && bytes_of(plan.gradient) == 2;
  return static_cast<int64_t>(all * constants.activation_slack +
                              static_cast<double>(largest) *
                                  (separate ? kTemporarySlackOfLoss : kTemporarySlack));
}

/// Communicators that this rank belongs to.
int64_t communicators(const Plan& plan) {
  int64_t count = 1;
  for (const int degree : {plan.tp, plan.cp, plan.pp, plan.ep, plan.dp_shard, plan.dp_replicate}) {
    if (degree > 1) ++count;
  }
  return count;
}

/// Bytes that exist only while the optimizer steps: flat and fp32 copies of 16-bit gradients, and
/// the temporary of the square root that torch's eager and foreach kernels make of the second
/// moment.
int64_t step_temporaries(const BlockMemory& states, const Plan& plan, const Trainer& trainer) {
  const int64_t moment = bytes_of(trainer.optimizer_moment);
  const int64_t per_element = 2 * moment + (trainer.master_weights ? 4 : 0);
  const int64_t elements = states.optimizer / per_element;
  int64_t bytes = 0;
  if (trainer.gradient_copy_at_step) bytes += 4 * elements;
  if (trainer.gradients_flattened_at_step) bytes += bytes_of(plan.gradient) * elements;
  if (trainer.optimizer != OptimizerKernel::fused) bytes += moment * elements;
  return bytes;
}

/// cached: of what was freed before other bytes were needed; a caching allocator gives it back only
/// when the device is full.
int64_t reported(const Trainer& trainer, int64_t allocated, int64_t cached, int64_t outside,
                 int64_t capacity) {
  switch (trainer.memory_report) {
    case MemoryReport::allocated:
      return allocated;
    case MemoryReport::reserved:
      return std::max(allocated, std::min(allocated + cached, capacity - outside));
    case MemoryReport::device:
      break;
  }
  return std::max(allocated + outside, std::min(allocated + cached + outside, capacity));
}

}  // namespace

int64_t received_bytes(const LowerContext& lower, const ScheduleShape& shape, int stage) {
  if (!lower.trainer.pipeline_receives_kept || shape.stages <= 1) return 0;
  const int last = shape.stages * shape.chunks - 1;
  int64_t sent = 0;
  for (int chunk = 0; chunk < shape.chunks; ++chunk) {
    const int v = virtual_stage(shape, stage, chunk);
    sent += (v > 0 ? 1 : 0) + (v < last ? 1 : 0);
  }
  return sent * shape.micro_batches * lower.own_tokens() * lower.model.hidden *
         bytes_of(lower.value());
}

MemoryEstimate memory_of(const std::vector<HeldStage>& stages, const Plan& plan,
                         int64_t micro_batches, const Trainer& trainer, const Cluster& cluster,
                         const Constants& constants) {
  const bool grow = trainer.gradients_made_anew && micro_batches == 1;
  MemoryEstimate result;
  result.host_capacity_bytes =
      cluster.host.memory_bytes / std::max<int64_t>(1, cluster.gpus_per_node);
  result.capacity_bytes = cluster.gpu.memory_usable_bytes;
  result.peak_bytes = -1;
  for (const auto& [index, at_peak, largest, on_host, received, held] : stages) {
    const BlockMemory& states = *held;
    result.host_bytes = std::max(result.host_bytes, states.host + on_host);
    const int64_t slack = allocator_slack(at_peak, largest, plan, trainer, constants);
    const int64_t groups = plan.world() > 1 ? communicators(plan) : 0;
    const int64_t libraries = trainer.context_bytes + trainer.workspace_bytes;
    const int64_t nccl = groups * trainer.nccl_bytes_per_group;
    // Gradients that do not exist before the backward pass come as evenly as activations go, so
    // either all of the one or all of the other is the most.
    const int64_t activations = grow ? std::max(at_peak - states.gradients, int64_t{0}) : at_peak;
    // Activations are gone when the optimizer steps.
    const int64_t step = step_temporaries(states, plan, trainer);
    const int64_t temporary = std::max(step - activations, int64_t{0});
    const int64_t gradients =
        states.gradients + (trainer.weight_gradient_placeholders && !trainer.adapters_only
                                ? states.placeholders
                                : int64_t{0});
    const int64_t allocated = states.parameters + states.gathered + gradients + states.optimizer +
                              activations + temporary + received;
    const int64_t total = allocated + slack + libraries + nccl;
    if (total <= result.peak_bytes) continue;
    result.peak_bytes = total;
    result.reported_bytes = reported(trainer, allocated, slack + step - temporary, libraries + nccl,
                                     result.capacity_bytes);
    result.stage = index;
    const auto part = [](const char* name, int64_t bytes) {
      return Part{name, static_cast<double>(bytes)};
    };
    result.parts = {part("parameters", states.parameters + states.gathered),
                    part("gradients", gradients),
                    part("optimizer states", states.optimizer),
                    part("activations", activations),
                    part("step temporaries", temporary),
                    part("allocator slack", slack),
                    part("communicators", nccl),
                    part("context and workspaces", libraries)};
    if (trainer.pipeline_receives_kept) result.parts.push_back(part("receive buffers", received));
  }
  return result;
}

}  // namespace meshplan
