// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/rank_train.hpp"

#include <algorithm>
#include <chrono>

#include "profiler/kernels/graph_random.hpp"

namespace meshplan::graph {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int64_t bytes_of(const Tables& tables) {
  int64_t bytes = 0;
  for (const Table& table : tables) bytes += table.bytes();
  return bytes;
}

/// Messages of one partition between two ranks.
int tag_of(int partition, size_t table) { return partition * 64 + static_cast<int>(table); }

}  // namespace

RankTrainer::RankTrainer(const RankSetup& setup, SharedParameters& parameters, World& world)
    : s_(setup),
      parameters_(parameters),
      world_(world),
      trainer_(*setup.workload, parameters, setup.threads, setup.program->plan.compute,
               setup.device) {}

Status RankTrainer::load_resident(int64_t version) {
  const GraphPlan& plan = s_.program->plan;
  std::vector<int> partitions;
  if (bytes_unpartitioned(*s_.workload, plan.partitions) > 0) partitions.push_back(-1);
  if (plan.home == Home::memory && plan.ranks == 1)
    for (int p = 0; p < plan.partitions; ++p) partitions.push_back(p);
  for (const int p : partitions) {
    MESHPLAN_TRY(held_[p], s_.store->load(p, version));
    table_bytes_ += bytes_of(held_[p]);
  }
  peak_bytes_ = table_bytes_;
  return Done{};
}

Status RankTrainer::save_resident(int64_t version) const {
  for (const auto& [partition, tables] : held_)
    MESHPLAN_CHECK(s_.store->save(partition, tables, version));
  return Done{};
}

int64_t RankTrainer::version_of(int partition, int64_t version) const {
  const auto found = written_.find(partition);
  return found == written_.end() ? version : std::max(version, found->second);
}

Status RankTrainer::finish_writes() {
  Status first = Done{};
  for (auto& [partition, write] : going_) {
    Status status = write.get();
    if (!status.ok() && first.ok()) first = status;
  }
  going_.clear();
  return first;
}

void RankTrainer::prefetch(const GraphRound& next, int64_t version) {
  for (const GraphStep& step : next.arrive) {
    // What is still held or on its way out is loaded when its round comes.
    if (step.peer >= 0 || held_.contains(step.partition) || going_.contains(step.partition))
      continue;
    table_bytes_ += std::get<PartitionMove>(step.op.body).bytes;
    const int64_t from = version_of(step.partition, version);
    coming_[step.partition] =
        std::async(std::launch::async,
                   [store = s_.store, p = step.partition, from] { return store->load(p, from); });
  }
}

Status RankTrainer::arrive(const GraphStep& step, int64_t version, Traffic& traffic) {
  const int p = step.partition;
  if (step.peer >= 0) {
    Tables tables = s_.store->empty(p);
    for (size_t t = 0; t < tables.size(); ++t)
      MESHPLAN_CHECK(
          all_->receive(tables[t].memory.data(), tables[t].bytes(), step.peer, tag_of(p, t)));
    table_bytes_ += bytes_of(tables);
    held_[p] = std::move(tables);
    return Done{};
  }
  if (const auto found = coming_.find(p); found != coming_.end()) {
    auto loaded = found->second.get();
    coming_.erase(found);
    MESHPLAN_TRY(held_[p], std::move(loaded));
  } else {
    if (going_.contains(p)) MESHPLAN_CHECK(finish_writes());
    MESHPLAN_TRY(held_[p], s_.store->load(p, version_of(p, version)));
    table_bytes_ += bytes_of(held_[p]);
  }
  ++traffic.loads;
  traffic.loaded_bytes += bytes_of(held_[p]);
  return Done{};
}

Status RankTrainer::leave(const GraphStep& step, int64_t version, Traffic& traffic) {
  const int p = step.partition;
  const int64_t bytes = bytes_of(held_[p]);
  MESHPLAN_CHECK(trainer_.settle(held_[p], true));
  if (step.peer >= 0) {
    const Tables& tables = held_[p];
    for (size_t t = 0; t < tables.size(); ++t)
      MESHPLAN_CHECK(
          all_->send(tables[t].memory.data(), tables[t].bytes(), step.peer, tag_of(p, t)));
    ++traffic.sends;
    traffic.sent_bytes += bytes;
    held_.erase(p);
    table_bytes_ -= bytes;
    return Done{};
  }
  ++traffic.stores;
  traffic.stored_bytes += bytes;
  written_[p] = version + 1;
  auto tables = std::make_shared<Tables>(std::move(held_[p]));
  held_.erase(p);
  const auto write = [store = s_.store, tables, p, version, bytes, left = &table_bytes_] {
    Status status = store->save(p, *tables, version + 1);
    tables->clear();
    *left -= bytes;
    return status;
  };
  if (!s_.program->plan.prefetch) return write();
  going_[p] = std::async(std::launch::async, write);
  return Done{};
}

/// Changes of all ranks since the last exchange are added up: relaxed, as between PBG's machines.
Status RankTrainer::synchronise(Traffic& traffic) {
  const int64_t bytes = std::get<Collective>(s_.program->synchronise.body).bytes;
  if (bytes == 0) return Done{};
  std::vector<float> change;
  change.reserve(synchronised_.size());
  for (const ParameterTable* table : parameters_.all()) {
    change.insert(change.end(), table->values.begin(), table->values.end());
    change.insert(change.end(), table->sums.begin(), table->sums.end());
  }
  for (size_t i = 0; i < change.size(); ++i) change[i] -= synchronised_[i];
  MESHPLAN_CHECK(all_->all_reduce(change.data(), static_cast<int64_t>(change.size())));
  for (size_t i = 0; i < change.size(); ++i) synchronised_[i] += change[i];
  size_t at = 0;
  for (ParameterTable* table : parameters_.all())
    for (std::vector<float>* part : {&table->values, &table->sums})
      for (float& value : *part) value = synchronised_[at++];
  traffic.synchronised_bytes += static_cast<int64_t>(change.size()) * 4;
  return Done{};
}

/// What is held, by entity type.
std::vector<LoadedRows> RankTrainer::loaded_rows() {
  const int partitions = s_.program->plan.partitions;
  const std::vector<int64_t> parts = partitions_by_type(*s_.workload, partitions);
  std::vector<LoadedRows> out(parts.size());
  for (auto& [p, tables] : held_) {  // -1 first, then by number
    size_t place = 0;                // among the types that move together
    for (size_t t = 0; t < parts.size(); ++t) {
      const bool whole = parts[t] == 1;
      if (whole != (p < 0 || partitions == 1)) continue;
      const int64_t count = s_.graph->count(static_cast<int>(t));
      const int64_t first = whole ? 0 : first_of(p, partitions, count);
      const int64_t end = whole ? count : first_of(p + 1, partitions, count);
      out[t].add(tables[place++], first, end - first);
      if (s_.graph->features[t].count > 0) out[t].set_features(s_.graph->features[t]);
    }
  }
  return out;
}

Result<PassReport> RankTrainer::pass(int64_t version, bool rows_are_read) {
  const auto start = Clock::now();
  const Workload& w = *s_.workload;
  const GraphPlan& plan = s_.program->plan;
  if (plan.ranks > 1 && all_ == nullptr) {
    std::vector<int> everyone;
    everyone.reserve(static_cast<size_t>(plan.ranks));
    for (int r = 0; r < plan.ranks; ++r) everyone.push_back(r);
    MESHPLAN_TRY(all_, world_.group(everyone, "partitions"));
    for (const ParameterTable* table : parameters_.all()) {
      synchronised_.insert(synchronised_.end(), table->values.begin(), table->values.end());
      synchronised_.insert(synchronised_.end(), table->sums.begin(), table->sums.end());
    }
  }
  PassReport report;
  const std::vector<GraphRound>& rounds = s_.program->ranks[static_cast<size_t>(world_.rank())];
  const int64_t epoch = version / w.passes_per_epoch, turn = version % w.passes_per_epoch;
  for (size_t k = 0; k < rounds.size(); ++k) {
    const auto waiting = Clock::now();
    for (const GraphStep& step : rounds[k].arrive)
      MESHPLAN_CHECK(arrive(step, version, report.traffic));
    report.wait_s += since(waiting);
    if (plan.prefetch && k + 1 < rounds.size()) prefetch(rounds[k + 1], version);
    peak_bytes_ = std::max(peak_bytes_, table_bytes_.load());
    const auto training = Clock::now();
    const std::vector<GraphStep>& train = rounds[k].train;
    std::vector<EdgeRange> ranges;
    for (const GraphStep& step : train) {
      const auto [i, j] = step.bucket;
      ranges.push_back({s_.buckets->first(i, j), s_.buckets->end(i, j)});
    }
    const auto round = static_cast<uint64_t>(plan.ranks) * k + static_cast<uint64_t>(world_.rank());
    const EdgeShare share{turn, w.passes_per_epoch,
                          combine(combine(s_.seed, static_cast<uint64_t>(epoch)), round)};
    MESHPLAN_TRY(const BucketTrainer::Outcome outcome,
                 trainer_.train(s_.buckets->edges, ranges, share, loaded_rows()));
    report.edges += outcome.edges;
    report.loss += outcome.loss;
    report.train_s += since(training);
    const auto leaving = Clock::now();
    MESHPLAN_CHECK(finish_writes());
    for (const GraphStep& step : rounds[k].leave)
      MESHPLAN_CHECK(leave(step, version, report.traffic));
    MESHPLAN_CHECK(synchronise(report.traffic));
    report.wait_s += since(leaving);
  }
  const auto last = Clock::now();
  if (rows_are_read)
    for (const auto& [partition, tables] : held_) MESHPLAN_CHECK(trainer_.settle(tables, false));
  MESHPLAN_CHECK(finish_writes());
  report.wait_s += since(last);
  report.seconds = since(start);
  report.peak_table_bytes = peak_bytes_;
  return report;
}

}  // namespace meshplan::graph
