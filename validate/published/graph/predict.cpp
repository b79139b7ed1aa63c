// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "costmodel/graph/machine.hpp"
#include "topologies/cluster/cluster.hpp"
#include "validate/published/graph/report.hpp"

namespace meshplan::graph {
namespace {

constexpr double kShareForRows = 0.9;  // of a GPU's memory; the rest is scratch

/// Seconds that an epoch's partitions take to come from the disk and go back. Orders are those of
/// the systems: inside-out with two partitions, or Marius' elimination order.
Result<double> storage_seconds(const GraphQuestionRow& q, double table_bytes) {
  if (q.resident >= q.partitions) return 0.0;
  int64_t loads = beta_swaps(q.partitions, q.resident) + q.resident;
  if (q.pbg_order) {
    MESHPLAN_TRY(const Schedule schedule,
                 make_schedule({.order = Order::inside_out,
                                .partitions = static_cast<int>(q.partitions),
                                .resident = static_cast<int>(q.resident)}));
    loads = loads_of(schedule);
  }
  const double part = table_bytes / static_cast<double>(q.partitions);
  return 2 * static_cast<double>(loads) * part / q.storage_bytes_per_s;
}

}  // namespace

Result<BatchWork> work_of(const GraphQuestionRow& q) {
  const Workload& w = q.workload;
  MESHPLAN_TRY(const Cluster cluster, find_cluster(q.cluster));
  MESHPLAN_TRY(const GraphMachine machine,
               machine_of(cluster, std::max(1.0, q.storage_bytes_per_s)));
  const GraphPlan plan;
  MESHPLAN_TRY(const GraphMachine::Pricer price, machine.pricer(w, plan));
  BatchWork out;
  out.device_bytes = machine.device_bytes;
  Op op = bucket_op(w, plan, w.batch);
  out.all = price(op);
  std::get<BucketStep>(op.body).parameters = 0;
  out.scores = price(op);
  const auto d = static_cast<double>(w.dimension);
  out.row_bytes = 4 * d + (q.system.full_adagrad ? 4 * d : 4);
  MESHPLAN_TRY(out.storage_s,
               storage_seconds(q, static_cast<double>(w.entity_rows()) * out.row_bytes));
  return out;
}

GraphPrediction predict(const GraphQuestionRow& q, const BatchWork& work) {
  const Workload& w = q.workload;
  const System& system = q.system;
  GraphPrediction out;
  out.parameter_bytes = static_cast<double>(w.entity_rows()) * work.row_bytes;
  const auto batch = static_cast<double>(w.batch);
  const auto negatives = static_cast<double>(w.negatives.batch + w.negatives.uniform);
  const double chunks = system.chunks > 0 ? static_cast<double>(system.chunks) : batch / negatives;
  const double touched = 2 * batch + system.sides * chunks * negatives;
  // PBG's two partitions are the GPU's; a buffer of partitions is the host's.
  const double on_gpu = out.parameter_bytes *
                        static_cast<double>(q.pbg_order ? q.resident : q.partitions) /
                        static_cast<double>(q.partitions);
  out.rows_on_host = q.rows_on_host || (q.partitions > 1 && !q.pbg_order) ||
                     on_gpu > kShareForRows * static_cast<double>(work.device_bytes);
  const double gpu_s = work.scores.products_s + system.passes * work.scores.rest_s +
                       (work.all.rest_s - work.scores.rest_s);
  const double compute_s = std::max(gpu_s, system.step_s + system.edge_s * batch);
  const double moved_s =
      out.rows_on_host ? 2 * touched * work.row_bytes / system.row_bytes_per_s : 0;
  out.step_s = system.pipelined ? std::max(compute_s, moved_s) : compute_s + moved_s;
  const auto edges = static_cast<double>(w.edges);
  const double train_s = edges / batch / static_cast<double>(q.workers) * out.step_s;
  out.storage_s = work.storage_s;
  const bool hidden = system.hides_storage && !q.pbg_order;
  const double epoch_s = hidden ? std::max(train_s, out.storage_s) : train_s + out.storage_s;
  out.edges_per_s = edges / epoch_s;
  return out;
}

Result<GraphPrediction> predict(const GraphQuestionRow& q) {
  MESHPLAN_TRY(const BatchWork work, work_of(q));
  return predict(q, work);
}

}  // namespace meshplan::graph
