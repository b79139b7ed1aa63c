// SPDX-License-Identifier: Apache-2.0
#include "costmodel/graph/machine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "costmodel/step/bucket_price.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::graph {
namespace {

using Pricer = GraphMachine::Pricer;

/// Ranks of a graph plan as a group that the fabric knows: consecutive GPUs.
Plan ranks_of(const GraphPlan& plan) {
  Plan out;
  out.dp_shard = plan.ranks;
  out.zero = 3;
  out.compute = plan.compute;
  return out;
}

class GpuPricer {
 public:
  GpuPricer(std::shared_ptr<const CostModel> costs, std::shared_ptr<const Trainer> trainer,
            const GraphPlan& plan, const PlanLinks& links, double storage_bytes_per_s)
      : costs_(std::move(costs)),
        trainer_(std::move(trainer)),
        context_(costs_->context(ranks_of(plan), *trainer_, links)),
        launch_s_(costs_->rules(*trainer_).kernel_launch_s) {
    const int64_t beside = std::min<int64_t>(plan.ranks, costs_->cluster().gpus_per_node);
    context_.storage_bytes_per_s = storage_bytes_per_s / static_cast<double>(beside);
    context_.compute = plan.compute;
  }

  OpTime operator()(const Op& op) const {
    OpTime out;
    if (const auto* bucket = std::get_if<BucketStep>(&op.body)) {
      const BucketPrice parts = bucket_price(*bucket, context_);
      const double slow = context_.kernel_slowdown;
      out.products_s = parts.products_s * slow;
      const double rest = (parts.scores_s + parts.rows_s) * slow + parts.small_s;
      // The device waits where the host needs longer to launch than it to work.
      out.rest_s = rest + std::max(0.0, parts.kernels * launch_s_ - out.products_s - rest);
      return out;
    }
    out.move_s = price(op, context_).seconds;
    return out;
  }

 private:
  std::shared_ptr<const CostModel> costs_;
  std::shared_ptr<const Trainer> trainer_;
  PriceContext context_;
  double launch_s_;
};

}  // namespace

Result<GraphAssumptions> load_graph_assumptions() {
  MESHPLAN_TRY(MapReader file, MapReader::open(data_root() + "/costmodel/data/graph.yaml"));
  GraphAssumptions out;
  out.storage_bytes_per_s = file.positive("storage_gb_per_s") * 1e9;
  out.source = file.texts("source");
  MESHPLAN_CHECK(file.finish());
  return out;
}

Result<GraphMachine> machine_of(const Cluster& cluster, double storage_bytes_per_s) {
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(const std::shared_ptr<const CostModel> costs, CostModel::load(cluster, constants));
  MESHPLAN_TRY(Trainer own, find_trainer("meshplan"));
  const auto trainer = std::make_shared<const Trainer>(std::move(own));
  GraphMachine out;
  out.name = fmt::format("{} x {}", cluster.gpus(), cluster.gpu.name);
  out.devices = cluster.gpus();
  out.devices_per_node = cluster.gpus_per_node;
  out.device_bytes = cluster.gpu.memory_usable_bytes;
  out.host_bytes = cluster.host.memory_bytes;
  out.assumed = cluster.assumed;
  out.source = {cluster.source, cluster.gpu.source};
  out.pricer = [=](const Workload&, const GraphPlan& plan) -> Result<Pricer> {
    MESHPLAN_TRY(const PlanLinks links, costs->links(ranks_of(plan), *trainer));
    return Pricer(GpuPricer(costs, trainer, plan, links, storage_bytes_per_s));
  };
  return out;
}

Result<GraphMachine> machine_of(const CpuProfile& profile) {
  GraphMachine out;
  out.name = fmt::format("{}, {} cores", profile.processor, profile.cores);
  out.devices = out.devices_per_node = profile.cores;
  out.device_bytes = profile.memory_bytes;
  out.is_cpu = true;
  out.source = {profile.source};
  const auto priced = [](const CpuTables& tables, DType compute) -> Status {
    BucketStep bucket{.edges = 1, .batch = 1, .chunk = 1, .uniform = 1, .dimension = 1};
    bucket.parameters = 1;
    bucket.in = compute;
    for (const CpuWork& work : cpu_bucket(bucket, {}))
      if (const auto seconds = tables.seconds(work); !seconds.ok()) return seconds.error();
    return Done{};
  };
  MESHPLAN_CHECK(priced(profile.of(1), DType::fp32));
  out.pricer = [=](const Workload& w, const GraphPlan& plan) -> Result<Pricer> {
    const CpuTables& tables = profile.of(plan.ranks * plan.threads);
    MESHPLAN_CHECK(priced(tables, plan.compute));
    const auto threads = static_cast<double>(plan.threads);
    const int64_t held = std::min(plan.resident, plan.partitions);
    const int64_t bytes =
        held * bytes_of_partition(w, 0, plan.partitions) + bytes_unpartitioned(w, plan.partitions);
    const GraphScale scale{static_cast<double>(std::max<int64_t>(1, bytes)),
                           static_cast<double>(std::max<int64_t>(1, w.edges))};
    const auto seconds = [tables](const CpuWork& work) {
      const auto time = tables.seconds(work);
      return time.ok() ? time.value() : 0;
    };
    return Pricer([=](const Op& op) {
      OpTime time;
      if (const auto* bucket = std::get_if<BucketStep>(&op.body)) {
        const std::vector<CpuWork> works = cpu_bucket(*bucket, scale);
        time.products_s = seconds(works.front()) / threads;
        for (size_t i = 1; i < works.size(); ++i) time.rest_s += seconds(works[i]) / threads;
      } else {
        time.move_s = seconds(cpu_work(op.body));
      }
      return time;
    });
  };
  return out;
}

}  // namespace meshplan::graph
