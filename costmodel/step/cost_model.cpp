// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/cost_model.hpp"

#include <cmath>

namespace meshplan {

Result<std::shared_ptr<const Calibration>> CalibrationCache::get(const Gpu& gpu) {
  const std::string key = gpu.id + "\n" + gpu.kernel_table;
  const auto found = by_gpu_.find(key);
  if (found != by_gpu_.end()) return found->second;
  MESHPLAN_TRY(KernelTables kernels, KernelTables::load(gpu));
  MESHPLAN_TRY(CollectiveModel collectives, CollectiveModel::load(gpu));
  std::array<HostCosts, 5> hosts;
  for (size_t i = 0; i < hosts.size(); ++i) {
    MESHPLAN_TRY(hosts[i], load_host_costs(static_cast<HostClass>(i), gpu.family));
  }
  if (!bands_) {
    MESHPLAN_TRY(EstimateBands bands, load_error_bands());
    bands_ = std::make_shared<const EstimateBands>(std::move(bands));
  }
  auto calibration = std::make_shared<const Calibration>(
      Calibration{std::move(kernels), std::move(collectives), hosts, bands_});
  by_gpu_[key] = calibration;
  return calibration;
}

Result<std::shared_ptr<const CostModel>> CostModel::load(const Cluster& cluster,
                                                         const Constants& constants) {
  CalibrationCache cache;
  MESHPLAN_TRY(auto calibration, cache.get(cluster.gpu));
  return std::make_shared<const CostModel>(cluster, constants, std::move(calibration));
}

Result<PlanLinks> CostModel::links(const Plan& plan, const Trainer& trainer) const {
  MESHPLAN_TRY(const RankOrder order, RankOrder::parse(trainer.rank_order));
  Degrees dense;
  dense[Axis::tp] = plan.tp;
  dense[Axis::cp] = plan.cp;
  dense[Axis::dp_shard] = plan.dp_shard;
  dense[Axis::dp_replicate] = plan.dp_replicate;
  dense[Axis::pp] = plan.pp;
  MESHPLAN_TRY(Degrees experts, expert_degrees(dense, plan.ep, plan.etp));
  const int64_t world = plan.world();
  PlanLinks result;
  const auto set = [&](Group group, const Degrees& degrees, std::initializer_list<Axis> axes) {
    const auto g = static_cast<size_t>(group);
    result.dims[g] = group_of(order, degrees, axes);
    result.links[g] = links_of(cluster_, result.dims[g], world);
  };
  set(Group::tp, dense, {Axis::tp});
  set(Group::cp, dense, {Axis::cp});
  set(Group::pp, dense, {Axis::pp});
  set(Group::tied, dense, {Axis::pp});
  set(Group::world, dense, {Axis::tp, Axis::cp, Axis::dp_shard, Axis::dp_replicate, Axis::pp});
  result.stage = links_of(
      cluster_, group_of(order, dense, {Axis::tp, Axis::cp, Axis::dp_shard, Axis::dp_replicate}),
      world);
  // Without sharding, all data-parallel ranks are copies of each other.
  if (plan.zero == 0) {
    set(Group::shard, dense, {});
    set(Group::replicate, dense, {Axis::cp, Axis::dp_shard, Axis::dp_replicate});
  } else {
    set(Group::shard, dense, {Axis::cp, Axis::dp_shard});
    set(Group::replicate, dense, {Axis::dp_replicate});
  }
  set(Group::ep, experts, {Axis::ep});
  set(Group::etp, experts, {Axis::tp});
  if (plan.zero == 0) {
    set(Group::expert_shard, experts, {});
    set(Group::expert_replicate, experts, {Axis::cp, Axis::dp_shard, Axis::dp_replicate});
  } else {
    set(Group::expert_shard, experts, {Axis::cp, Axis::dp_shard});
    set(Group::expert_replicate, experts, {Axis::dp_replicate});
  }
  return result;
}

PriceContext CostModel::context(const Plan& plan, const Trainer& trainer,
                                const PlanLinks& links) const {
  PriceContext context{kernels(), collectives(), trainer, plan.compute, links.links};
  context.kernel_slowdown = constants_.kernel_slowdown;
  context.network_slowdown = constants_.network_slowdown;
  // The states travel over PCIe or C2C and are stepped at the host's memory rate.
  const Gpu& gpu = cluster_.gpu;
  const double link = std::max(gpu.pcie_bytes_per_s, gpu.c2c_bytes_per_s);
  const double memory =
      cluster_.host.memory_bytes_per_s / static_cast<double>(cluster_.gpus_per_node);
  context.host_bytes_per_s = memory > 0 ? std::min(link, memory) : link;
  return context;
}

StreamRules CostModel::rules(const Trainer& trainer) const {
  const HostCosts& costs = host(trainer);
  StreamRules rules;
  rules.kernel_launch_s = costs.kernel_s * constants_.launch_scale;
  rules.graph_launch_s =
      calibration_->hosts[static_cast<size_t>(HostClass::graph)].kernel_s * constants_.launch_scale;
  rules.collective_launch_s = costs.collective_s;
  rules.overlap_slowdown = constants_.overlap_slowdown;
  rules.rank_skew_s = constants_.rank_skew_s;
  return rules;
}

PassPrice CostModel::price_passes(const LowerContext& lower, const BlockKind& kind,
                                  const PriceContext& context) const {
  Block block = lower_block(lower, kind);
  StreamRules rules = this->rules(lower.trainer);
  // Layers of two micro-batches side by side: Megatron-Core has that for its GPT, not for hybrids.
  rules.overlap_experts = lower.trainer.overlap_ep && lower.model.sublayers == 0 &&
                          lower.batch.micro_batches(lower.plan) > 1;
  PriceContext own = context;
  own.scans = lower.model.sublayers > 0 && kind.window > 0;
  PassPrice price;
  price.forward = phase_time(block, Phase::forward, own, rules);
  price.backward = phase_time(block, Phase::backward, own, rules);
  price.weight = phase_time(block, Phase::weight, own, rules);
  price.memory = memory_of(block);
  // What is left to lay out states with: the parameters and their buffers.
  price.bare.name = block.name;
  for (Parameter parameter : block.parameters) {
    const auto id = static_cast<BufferId>(price.bare.buffers.size());
    price.bare.buffers.push_back(std::move(block.buffer(parameter.weight)));
    price.bare.buffers.push_back(std::move(block.buffer(parameter.gradient)));
    parameter.weight = id;
    parameter.gradient = id + 1;
    price.bare.parameters.push_back(std::move(parameter));
  }
  return price;
}

StatePrice CostModel::price_states(const LowerContext& lower, const Block& block,
                                   const PriceContext& context) const {
  const StreamRules rules = this->rules(lower.trainer);
  StatePrice price;
  price.gather = phase_time(block, Phase::gather, context, rules);
  price.reduce = phase_time(block, Phase::reduce, context, rules);
  price.update = phase_time(block, Phase::update, context, rules);
  price.memory = memory_of(block);
  price.gather_when = block.gather_when;
  price.reduce_when = block.reduce_when;
  price.freed = block.parameters_freed;
  return price;
}

}  // namespace meshplan
