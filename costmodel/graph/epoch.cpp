// SPDX-License-Identifier: Apache-2.0
#include "costmodel/graph/epoch.hpp"

#include <algorithm>
#include <map>

namespace meshplan::graph {
namespace {

constexpr int64_t kEdgeBytes = 12;  // two ends and a relation, 32 bits each
constexpr int64_t kWeightBytes = 4;

/// Seconds of a pass, by what they go to.
struct Spent {
  double products = 0, rest = 0, swap = 0, exchange = 0, shared = 0, idle = 0;
  double busy() const { return products + rest + swap + exchange + shared; }
  void add(const Spent& o, double times) {
    products += times * o.products;
    rest += times * o.rest;
    swap += times * o.swap;
    exchange += times * o.exchange;
    shared += times * o.shared;
    idle += times * o.idle;
  }
};

/// Prices by what they depend on, since thousands of buckets are alike.
class Prices {
 public:
  explicit Prices(std::function<OpTime(const Op&)> price) : price_(std::move(price)) {}
  const OpTime& of(const GraphStep& step) {
    if (const auto* bucket = std::get_if<BucketStep>(&step.op.body))
      return kept(buckets_, bucket->edges, step.op);
    const auto& move = std::get<PartitionMove>(step.op.body);
    return kept(moves_[static_cast<size_t>(move.tier)][move.load ? 1 : 0], move.bytes, step.op);
  }
  double seconds(const Op& op) { return price_(op).seconds(); }

 private:
  using Kept = std::map<int64_t, OpTime>;
  const OpTime& kept(Kept& in, int64_t key, const Op& op) {
    const auto found = in.find(key);
    return found != in.end() ? found->second : in.emplace(key, price_(op)).first->second;
  }
  std::function<OpTime(const Op&)> price_;
  Kept buckets_, moves_[3][2];
};

/// One rank's round `k` up to its end, without waiting for others.
Spent round_of(const GraphProgram& program, const std::vector<GraphRound>& rounds, size_t k,
               Prices& prices) {
  const bool prefetch = program.plan.prefetch;
  Spent out;
  double beside = 0;
  const GraphRound& round = rounds[k];
  // What leaves to storage in a round is written while the next one trains, and cannot be loaded
  // meanwhile.
  const auto leaves = [&](size_t in, int partition) {
    const std::vector<GraphStep>& steps = rounds[in].leave;
    return std::any_of(steps.begin(), steps.end(), [&](const GraphStep& step) {
      return step.peer < 0 && step.partition == partition;
    });
  };
  for (const GraphStep& step : round.arrive) {
    const double seconds = prices.of(step).seconds();
    if (step.peer >= 0)
      out.exchange += seconds;
    else if (!prefetch || k == 0 || (k > 1 && leaves(k - 2, step.partition)))
      out.swap += seconds;  // nobody could load it ahead
  }
  for (const GraphStep& step : round.train) {
    const OpTime& time = prices.of(step);
    out.products += time.products_s;
    out.rest += time.rest_s;
  }
  if (prefetch) {
    if (k > 0)
      for (const GraphStep& step : rounds[k - 1].leave)
        if (step.peer < 0) beside += prices.of(step).seconds();
    if (k + 1 < rounds.size())
      for (const GraphStep& step : rounds[k + 1].arrive)
        if (step.peer < 0 && !(k > 0 && leaves(k - 1, step.partition)))
          beside += prices.of(step).seconds();
  }
  out.swap += std::max(0.0, beside - out.products - out.rest);
  const bool last = k + 1 == rounds.size();
  for (const GraphStep& step : round.leave)
    if (step.peer < 0 && (!prefetch || last)) out.swap += prices.of(step).seconds();
  return out;
}

}  // namespace

BesideRows beside_rows(const Workload& w, const GraphPlan& plan, const GraphMachine& machine) {
  BesideRows out;
  // A computer keeps all edges; a device those of the round and of the next one.
  const int64_t edges = w.edges / w.passes_per_epoch;
  const int64_t held = plan.partitions > 1 ? edges / plan.partitions * plan.resident /
                                                 plan.partitions * plan.resident
                                           : edges;
  const int64_t edge = kEdgeBytes + (w.data.weight_column >= 0 ? kWeightBytes : 0);
  out.edges = edge * (machine.is_cpu || plan.partitions == 1 ? w.edges : std::min(edges, 2 * held));
  out.workspace = machine.is_cpu ? plan.ranks * workspace_bytes(w, plan, plan.threads, plan.threads)
                                 : device_scratch(w, plan.compute).total();
  // With their sums; several ranks of a computer hold them each, as they were after the last
  // exchange, and what has changed since.
  const int64_t copies = machine.is_cpu && plan.ranks > 1 ? 3 * plan.ranks : 1;
  out.operators = copies * 2 * 4 * w.operator_parameters();
  return out;
}

std::vector<Part> memory_parts(const Workload& w, const GraphProgram& program,
                               const GraphMachine& machine) {
  int64_t rows = 0, sent = 0;
  for (int r = 0; r < program.plan.ranks; ++r) {
    // Ranks of a computer share its memory; what one sends is copied until the other has it.
    int64_t largest = 0;
    for (const GraphRound& round : program.ranks[static_cast<size_t>(r)])
      for (const GraphStep& step : round.leave)
        if (step.peer >= 0)
          largest = std::max(largest, std::get<PartitionMove>(step.op.body).bytes);
    sent += largest;
    const int64_t held = expected_table_bytes(w, program, r);
    rows = machine.is_cpu ? rows + held : std::max(rows, held);
  }
  const BesideRows beside = beside_rows(w, program.plan, machine);
  std::vector<Part> out;
  const auto part = [&](const char* name, int64_t bytes) {
    if (bytes > 0) out.push_back({name, static_cast<double>(bytes)});
  };
  part("rows with their sums", rows);
  if (machine.is_cpu) part("partitions on their way", sent);
  part("edges", beside.edges);
  part("workspace", beside.workspace);
  part("operators with their sums", beside.operators);
  return out;
}

int64_t least_memory(const Workload& w, const GraphPlan& plan, const GraphMachine& machine) {
  int64_t rows = bytes_unpartitioned(w, plan.partitions);
  rows += std::min(plan.resident, plan.partitions) *
          bytes_of_partition(w, 0, plan.partitions);  // the smallest
  if (machine.is_cpu) rows *= plan.ranks;
  return rows + beside_rows(w, plan, machine).total();
}

double least_epoch_s(const Workload& w, const GraphPlan& plan,
                     const std::function<OpTime(const Op&)>& price) {
  const double train = price(bucket_op(w, plan, w.edges / plan.ranks)).seconds();
  if (plan.home == Home::memory) return train;
  const ScheduleShape shape = shape_of(w, plan, 1);
  const int64_t p = plan.partitions, c = std::min(plan.resident, plan.partitions);
  int64_t loads = p / plan.ranks;
  if (plan.ranks == 1 && shape.lhs_partitioned && shape.rhs_partitioned && c > 1)
    loads = c + (p * (p - 1) / 2 - c * (c - 1) / 2 + c - 2) / (c - 1);
  const Tier tier = plan.home == Home::host ? Tier::host : Tier::storage;
  const auto move = [&](bool load) {
    const PartitionMove op{load, bytes_of_partition(w, 0, plan.partitions), tier};
    return price({op, Module::state, {}, {}}).seconds();
  };
  const double both = move(true) + move(false);
  const auto passes = static_cast<double>(w.passes_per_epoch);
  // The first loads and the last stores of a pass stand alone; others may hide behind training.
  const double ends = plan.prefetch ? both : both * static_cast<double>(loads);
  return std::max(train + passes * ends, passes * both * static_cast<double>(loads));
}

Result<EpochEstimate> estimate_epoch(const Workload& w, const GraphPlan& plan,
                                     const GraphMachine& machine) {
  return estimate_epoch(w, plan, machine, even_edges(w, plan));
}

Result<EpochEstimate> estimate_epoch(const Workload& w, const GraphPlan& plan,
                                     const GraphMachine& machine, const BucketEdges& edges) {
  MESHPLAN_TRY(const GraphProgram program, lower(w, plan, edges, 1));
  MESHPLAN_TRY(auto price, machine.pricer(w, plan));
  Prices prices(price);
  EpochEstimate out;
  out.plan = plan;
  out.machines = (plan.ranks + machine.devices_per_node - 1) / machine.devices_per_node;
  const auto passes = static_cast<double>(w.passes_per_epoch);
  const double shared = plan.ranks > 1 ? prices.seconds(program.synchronise) : 0;
  Spent mean;
  for (size_t k = 0; k < static_cast<size_t>(program.rounds); ++k) {
    std::vector<Spent> spent;
    double longest = 0;
    for (const std::vector<GraphRound>& rounds : program.ranks) {
      spent.push_back(round_of(program, rounds, k, prices));
      spent.back().shared = shared;
      longest = std::max(longest, spent.back().busy());
    }
    for (Spent& one : spent) {
      one.idle = longest - one.busy();
      mean.add(one, passes / static_cast<double>(plan.ranks));
    }
  }
  // A computer's products are timed with their losses.
  out.time = {{machine.is_cpu ? "products, losses" : "matrix products", mean.products},
              {machine.is_cpu ? "rows, operators" : "losses, operators, rows", mean.rest},
              {"partitions, exposed", mean.swap},
              {"partitions between ranks", mean.exchange},
              {"shared parameters", mean.shared},
              {"idle", mean.idle}};
  std::erase_if(out.time, [](const Part& part) { return part.value <= 0; });
  for (const Part& part : out.time) out.epoch_s += part.value;
  if (!out.time.empty())
    out.limited_by =
        std::max_element(out.time.begin(), out.time.end(), [](const Part& a, const Part& b) {
          return a.value < b.value;
        })->name;
  out.edges_per_s = out.epoch_s > 0 ? static_cast<double>(w.edges) / out.epoch_s : 0;

  for (int r = 0; r < plan.ranks; ++r) {
    const Traffic one = expected_traffic(program, r);
    for (int64_t pass = 0; pass < w.passes_per_epoch; ++pass) out.traffic.add(one);
  }
  out.memory = memory_parts(w, program, machine);
  for (const Part& part : out.memory) out.peak_memory_bytes += static_cast<int64_t>(part.value);
  out.capacity_bytes = machine.device_bytes;
  out.fits = machine.device_bytes == 0 || out.peak_memory_bytes <= machine.device_bytes;
  if (plan.home == Home::host) {
    int64_t all = 0;
    for (int p = 0; p < plan.partitions; ++p) all += bytes_of_partition(w, p, plan.partitions);
    out.host_memory_bytes = all / out.machines + kEdgeBytes * w.edges / out.machines;
    out.host_capacity_bytes = machine.host_bytes;
    out.fits = out.fits && out.host_memory_bytes <= machine.host_bytes;
  }
  return out;
}

}  // namespace meshplan::graph
