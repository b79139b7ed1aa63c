// SPDX-License-Identifier: Apache-2.0
// Which parallel plan is meant? The axes, their degrees, and the choices that go with them.
//
// world = tp * cp * pp * dp,  dp = dp_shard * dp_replicate. Expert parallelism takes its ranks out
// of dp * cp (and tp, where experts have a tensor parallelism of their own), so it does not
// multiply.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/schedule/schedule.hpp"
#include "topologies/base/dtype.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

enum class ContextParallel { all_gather, ring, all_to_all };

/// What is recomputed in the backward pass. `selective` names modules, see Module in
/// program/op.hpp.
enum class Recompute { none, selective, full };

struct Plan {
  int tp = 1;
  bool sequence_parallel =
      true;  ///< activations outside of products sharded over tp (ignored at 1)
  int pp = 1;
  int vpp = 1;  ///< model chunks per stage
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  int schedule_group = 0;        ///< Llama 3's N; 0 = pp
  std::vector<int> layer_split;  ///< layers per virtual stage, in model order; empty = by rule
  int cp = 1;
  ContextParallel cp_kind = ContextParallel::all_gather;
  int dp_shard = 1;      ///< ranks over which zero shards
  int dp_replicate = 1;  ///< HSDP: copies of the sharded groups
  int zero = 0;          ///< 0 nothing, 1 optimizer, 2 + gradients, 3 + parameters sharded
  bool reshard_after_forward = true;  ///< zero 3: gather again for the backward pass
  int ep = 1;
  int etp = 1;          ///< tensor parallelism of the experts
  int micro_batch = 1;  ///< sequences per micro-batch and rank
  Recompute recompute = Recompute::none;
  uint32_t recompute_modules = 0;  ///< selective: bit set of Module
  int recompute_layers = -1;       ///< layers per virtual stage that recompute; -1 = all
  DType compute = DType::bf16;     ///< products in: bf16, fp16, fp8, fp4, fp32
  DType gradient = DType::fp32;
  bool optimizer_offload = false;  ///< states and step on the host

  int dp() const { return dp_shard * dp_replicate; }
  /// Pieces that the layers are cut into.
  int virtual_stages() const { return schedule == ScheduleKind::dualpipe ? pp : pp * vpp; }
  int64_t world() const { return int64_t{tp} * cp * pp * dp(); }
};

/// What runs again in the backward pass, in which share of each virtual stage's layers.
struct RecomputeChoice {
  Recompute kind = Recompute::none;
  uint32_t modules = 0;
  double share = 1;
};
/// Shares that are tried where not all layers recompute.
constexpr std::array<double, 3> kRecomputeShares = {0.25, 0.5, 0.75};
/// Plan::recompute_layers of such a share, rounded up; -1 where that is all of them.
int recomputed_layers(double share, int64_t layers, const Plan& plan);

/// Sequences, tokens and steps of one optimizer step.
struct Batch {
  int64_t sequence = 0;                            ///< tokens per sequence
  int64_t global_sequences = 0;                    ///< sequences per optimizer step
  int64_t micro_batches(const Plan& plan) const {  ///< per rank and step
    return global_sequences / (int64_t{plan.dp()} * plan.micro_batch);
  }
};

std::string to_text(ContextParallel kind);
std::string to_text(Recompute kind);
Result<ContextParallel> context_parallel_from(const std::string& text);
Result<Recompute> recompute_from(const std::string& text);

/// "norm+activation": names of the modules in a bit set.
std::string modules_text(uint32_t modules);

/// One line: "tp8 pp16 vpp8 cp1 dp64 (shard 64) zero1 mb1 recompute none 1f1b", fixed order.
std::string to_text(const Plan& plan);

}  // namespace meshplan
