// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {
namespace {

int64_t rows_of(const EntityType& type) { return type.featurized() ? type.features : type.count; }

bool is_partitioned(const Workload& w, const std::vector<int64_t>& parts, bool right) {
  return std::any_of(w.relations.begin(), w.relations.end(), [&](const RelationType& relation) {
    return parts[static_cast<size_t>(right ? relation.rhs : relation.lhs)] > 1;
  });
}

GraphStep move_step(const Workload& w, const GraphPlan& plan, int partition, bool load, int peer) {
  GraphStep step;
  const Tier tier = peer >= 0 ? Tier::peer : plan.home == Home::host ? Tier::host : Tier::storage;
  step.op = {PartitionMove{load, bytes_of_partition(w, partition, plan.partitions), tier},
             Module::state,
             {},
             {}};
  step.partition = partition;
  step.peer = peer;
  return step;
}

}  // namespace

const char* name_of(Home home) {
  switch (home) {
    case Home::memory:
      return "memory";
    case Home::host:
      return "host";
    case Home::storage:
      return "storage";
  }
  return "?";
}

std::string brief(const GraphPlan& plan) {
  if (plan.partitions == 1) return "unpartitioned, 1 rank";
  return fmt::format("{} partitions, {} resident, {}, {} rank{}, rest in {}", plan.partitions,
                     plan.resident, name_of(plan.order), plan.ranks, plan.ranks == 1 ? "" : "s",
                     name_of(plan.home));
}

std::vector<int64_t> partitions_by_type(const Workload& w, int partitions) {
  std::vector<int64_t> out;
  for (const EntityType& type : w.entities) {
    const bool whole = type.partitions == 1 || type.featurized();
    out.push_back(whole ? 1 : partitions);
  }
  return out;
}

ScheduleShape shape_of(const Workload& w, const GraphPlan& plan, uint64_t seed) {
  const std::vector<int64_t> parts = partitions_by_type(w, plan.partitions);
  return {.order = plan.order,
          .partitions = plan.partitions,
          .resident = plan.resident,
          .ranks = plan.ranks,
          .lhs_partitioned = is_partitioned(w, parts, false),
          .rhs_partitioned = is_partitioned(w, parts, true),
          .seed = seed};
}

Status check_plan(const Workload& w, const GraphPlan& plan) {
  const std::vector<int64_t> parts = partitions_by_type(w, plan.partitions);
  const bool whole = std::find(parts.begin(), parts.end(), 1) != parts.end();
  if (plan.partitions > 1 && std::all_of(parts.begin(), parts.end(), [](auto p) { return p == 1; }))
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "no entity type can be partitioned",
                      .where = "partitions",
                      .value = fmt::format("{}", plan.partitions),
                      .rule = "partitioned-types",
                      .hint = "1"};
  if (plan.ranks > 1 && whole)
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "an unpartitioned type lives on one rank only",
                      .where = "ranks",
                      .value = fmt::format("{}", plan.ranks),
                      .rule = "one-rank-types",
                      .hint = "partition all types, or 1 rank"};
  for (const EntityType& type : w.entities)
    if (type.partitions > 1 && type.partitions != plan.partitions)
      return Diagnostic{.kind = ErrorKind::no_plan,
                        .message = fmt::format("the workload cuts type '{}' itself", type.name),
                        .where = "partitions",
                        .value = fmt::format("{}", plan.partitions),
                        .rule = "stated-partitions",
                        .hint = fmt::format("{}", type.partitions)};
  return check_shape(shape_of(w, plan, 0));
}

int64_t rows_of_partition(const Workload& w, int part, int partitions) {
  const std::vector<int64_t> parts = partitions_by_type(w, partitions);
  int64_t rows = 0;
  for (size_t t = 0; t < parts.size(); ++t)
    if (parts[t] > 1 || partitions == 1)
      rows += rows_of(w.entities[t]) * (part + 1) / partitions -
              rows_of(w.entities[t]) * part / partitions;
  return rows;
}

int64_t bytes_of_partition(const Workload& w, int part, int partitions) {
  return rows_of_partition(w, part, partitions) * w.bytes_per_row();
}

int64_t bytes_unpartitioned(const Workload& w, int partitions) {
  if (partitions == 1) return 0;  // counted as the one partition
  const std::vector<int64_t> parts = partitions_by_type(w, partitions);
  int64_t rows = 0;
  for (size_t t = 0; t < parts.size(); ++t)
    if (parts[t] == 1) rows += rows_of(w.entities[t]);
  return rows * w.bytes_per_row();
}

BucketEdges even_edges(const Workload& w, const GraphPlan& plan) {
  const ScheduleShape shape = shape_of(w, plan, 0);
  const int64_t columns = shape.rhs_partitioned ? plan.partitions : 1;
  const int64_t buckets = (shape.lhs_partitioned ? plan.partitions : 1) * columns;
  const int64_t edges = w.edges / w.passes_per_epoch;
  return [=](const BucketId& bucket) {
    const int64_t k = bucket.first * columns + bucket.second;
    return edges * (k + 1) / buckets - edges * k / buckets;
  };
}

Op bucket_op(const Workload& w, const GraphPlan& plan, int64_t edges) {
  const Operator op = w.relations.front().op;
  BucketStep step{.edges = edges,
                  .batch = w.batch,
                  .chunk = w.negatives.batch > 0 ? w.negatives.batch : w.negatives.uniform,
                  .uniform = w.negatives.uniform,
                  .dimension = w.dimension,
                  .sides = (w.negatives.lhs ? 1 : 0) + (w.negatives.rhs ? 1 : 0),
                  .parameters = parameters_of(op, w.dimension) * (w.dynamic_relations ? 2 : 1),
                  .in = plan.compute};
  return {step, Module::embedding, {}, {}};
}

Result<GraphProgram> lower(const Workload& w, const GraphPlan& plan, const BucketEdges& edges,
                           uint64_t seed) {
  MESHPLAN_CHECK(check_plan(w, plan));
  MESHPLAN_TRY(const Schedule schedule, make_schedule(shape_of(w, plan, seed)));
  GraphProgram program;
  program.plan = plan;
  program.rounds = static_cast<int64_t>(schedule.rounds.size());
  const int64_t shared = plan.ranks > 1 ? int64_t{2} * 4 * w.operator_parameters() : 0;
  program.synchronise = {Collective{CollectiveOp::all_reduce, Group::world, shared, DType::fp32},
                         Module::state,
                         {},
                         {}};
  const auto parts = static_cast<size_t>(plan.partitions);
  const auto holder = [&](size_t round) {
    std::vector<int> by(parts, -1);
    for (size_t r = 0; r < schedule.rounds[round].size(); ++r)
      for (const int p : schedule.rounds[round][r].partitions)
        by[static_cast<size_t>(p)] = static_cast<int>(r);
    return by;
  };
  const size_t rounds = schedule.rounds.size();
  program.ranks.resize(static_cast<size_t>(plan.ranks), std::vector<GraphRound>(rounds));
  // Rows that never leave memory arrive and leave with nothing to move.
  const bool stays = plan.home == Home::memory && plan.ranks == 1;
  std::vector<int> before(parts, -1);
  for (size_t round = 0; round < rounds; ++round) {
    const std::vector<int> now = holder(round);
    const std::vector<int> after =
        round + 1 < rounds ? holder(round + 1) : std::vector<int>(parts, -1);
    for (size_t r = 0; r < program.ranks.size(); ++r) {
      const int rank = static_cast<int>(r);
      GraphRound& out = program.ranks[r][round];
      const Hold& hold = schedule.rounds[round][r];
      out.held = hold.partitions;
      for (const int p : hold.partitions) {
        const auto at = static_cast<size_t>(p);
        if (!stays && before[at] != rank)
          out.arrive.push_back(move_step(w, plan, p, true, before[at]));
        if (!stays && after[at] != rank)
          out.leave.push_back(move_step(w, plan, p, false, after[at]));
      }
      for (const BucketId& bucket : hold.buckets) {
        GraphStep step;
        step.op = bucket_op(w, plan, edges(bucket));
        step.bucket = bucket;
        out.train.push_back(std::move(step));
      }
    }
    before = now;
  }
  return program;
}

}  // namespace meshplan::graph
