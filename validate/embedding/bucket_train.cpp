// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/bucket_train.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "profiler/kernels/graph_random.hpp"
#include "validate/embedding/device_batch.hpp"

namespace meshplan::graph {
namespace {

/// A pass takes places [count pass / passes, count (pass + 1) / passes) of the shuffled group.
int64_t share_of(int64_t count, int64_t pass, int64_t passes) { return count * pass / passes; }

std::vector<EdgeGroup> groups_of(const Workload& w, const Edges& edges,
                                 std::span<const EdgeRange> buckets) {
  std::map<int32_t, EdgeGroup> by_relation;
  for (const EdgeRange& bucket : buckets)
    for (int64_t at = bucket.begin; at < bucket.end;) {
      int64_t end = bucket.end;
      int32_t relation = 0;
      if (!w.batches_mix_relations()) {
        relation = edges.relation[static_cast<size_t>(at)];
        end = std::upper_bound(edges.relation.begin() + at, edges.relation.begin() + bucket.end,
                               relation) -
              edges.relation.begin();
      }
      EdgeGroup& group = by_relation[relation];
      group.pieces.push_back({at, group.count});
      group.count += end - at;
      at = end;
    }
  std::vector<EdgeGroup> out;
  out.reserve(by_relation.size());
  for (auto& [relation, group] : by_relation) out.push_back(std::move(group));
  return out;
}

/// A thread, or with several threads a team of them.
class ThreadWorker : public BatchWorker {
 public:
  ThreadWorker(const Workload& w, SharedParameters& parameters, int size, DType products)
      : threads_(size), trainer_(w, parameters, threads_, products) {}

  Status begin(const TrainingRound& round) override {
    round_ = &round;
    loss_ = 0;
    return Done{};
  }
  Status train(const BatchDraw& draw) override {
    const EdgeGroup& group = round_->groups[draw.group];
    places_.clear();
    for (int64_t i = draw.from; i < draw.to; ++i) {
      const int64_t edge = group.edge(draw.order(i));
      places_.push_back(static_cast<int32_t>(edge));
      round_->edges.prefetch(edge);
    }
    Batch batch;
    batch.edges = &round_->edges;
    batch.places = places_;
    batch.rows = &round_->rows;
    batch.key = draw.key;
    loss_ += trainer_.train(batch);
    return Done{};
  }
  Result<double> end() override { return loss_; }
  Status settle(const Tables&, bool) override { return Done{}; }

 private:
  cpu::Workers threads_;
  BatchTrainer trainer_;
  const TrainingRound* round_ = nullptr;
  std::vector<int32_t> places_;
  double loss_ = 0;
};

}  // namespace

BucketTrainer::BucketTrainer(const Workload& workload, SharedParameters& parameters,
                             const ThreadMode& mode, DType products, GraphDevice* device)
    : w_(workload) {
  if (device != nullptr) {
    workers_.push_back(make_device_worker(w_, parameters, products, *device));
    return;
  }
  const int workers = mode.deterministic ? 1 : mode.threads;
  for (int i = 0; i < workers; ++i)
    workers_.push_back(std::make_unique<ThreadWorker>(
        w_, parameters, mode.deterministic ? mode.threads : 1, products));
}

Status BucketTrainer::settle(const Tables& tables, bool leaves) {
  for (const auto& worker : workers_) MESHPLAN_CHECK(worker->settle(tables, leaves));
  return Done{};
}

Result<BucketTrainer::Outcome> BucketTrainer::train(const Edges& edges,
                                                    std::span<const EdgeRange> buckets,
                                                    const EdgeShare& share,
                                                    const std::vector<LoadedRows>& rows) {
  int64_t batches = 0;
  std::vector<EdgeGroup> groups = groups_of(w_, edges, buckets);
  for (EdgeGroup& group : groups) {
    group.first_batch = batches;
    const int64_t own = share_of(group.count, share.pass + 1, share.passes) -
                        share_of(group.count, share.pass, share.passes);
    batches += (own + w_.batch - 1) / w_.batch;
  }
  if (batches == 0) return Outcome{};
  const TrainingRound round{edges, buckets, groups, rows};
  const Permutation batch_order(batches, combine(share.key, 1));
  std::atomic<int64_t> next{0};
  std::vector<Result<Outcome>> outcomes(workers_.size(), Outcome{});
  const auto run = [&](BatchWorker& worker) -> Result<Outcome> {
    Outcome outcome;
    MESHPLAN_CHECK(worker.begin(round));
    for (int64_t turn; (turn = next.fetch_add(1)) < batches;) {
      const int64_t k = batch_order(turn);
      const auto after =
          std::upper_bound(groups.begin(), groups.end(), k,
                           [](int64_t batch, const EdgeGroup& g) { return batch < g.first_batch; });
      const EdgeGroup& group = *(after - 1);
      BatchDraw draw;
      draw.group = static_cast<size_t>(&group - groups.data());
      // The order of the edges is the epoch's, so that the passes of an epoch meet each once.
      draw.order = Permutation(
          group.count, combine(share.key, 2 + static_cast<uint64_t>(group.pieces.front().begin)));
      draw.from =
          share_of(group.count, share.pass, share.passes) + (k - group.first_batch) * w_.batch;
      draw.to = std::min(draw.from + w_.batch, share_of(group.count, share.pass + 1, share.passes));
      draw.key = combine(combine(share.key, 3 + static_cast<uint64_t>(share.pass)),
                         static_cast<uint64_t>(k));
      MESHPLAN_CHECK(worker.train(draw));
      outcome.edges += draw.to - draw.from;
    }
    MESHPLAN_TRY(outcome.loss, worker.end());
    return outcome;
  };
  const auto work = [&](size_t id) { outcomes[id] = run(*workers_[id]); };
  std::vector<std::thread> threads;
  for (size_t id = 1; id < workers_.size(); ++id) threads.emplace_back(work, id);
  work(0);
  for (std::thread& thread : threads) thread.join();
  Outcome sum;
  for (const Result<Outcome>& one : outcomes) {
    if (!one.ok()) return one.error();
    sum.edges += one->edges;
    sum.loss += one->loss;
  }
  return sum;
}

}  // namespace meshplan::graph
