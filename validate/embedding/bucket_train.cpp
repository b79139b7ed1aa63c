// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/bucket_train.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "profiler/kernels/graph_random.hpp"

namespace meshplan::graph {
namespace {

/// Edges that batches are cut from: all, or those of one relation; pieces of the buckets.
struct Group {
  struct Piece {
    int64_t begin, place;  ///< of its first edge: among all edges, in the group
  };
  std::vector<Piece> pieces;
  int64_t count = 0, first_batch = 0;  ///< edges; first of all batches that is this group's

  int64_t edge(int64_t place) const {
    const auto next = std::upper_bound(pieces.begin(), pieces.end(), place,
                                       [](int64_t at, const Piece& p) { return at < p.place; });
    const Piece& piece = *(next - 1);
    return piece.begin + place - piece.place;
  }
};

/// A pass takes places [count pass / passes, count (pass + 1) / passes) of the shuffled group.
int64_t share_of(int64_t count, int64_t pass, int64_t passes) { return count * pass / passes; }

std::vector<Group> groups_of(const Workload& w, const Edges& edges,
                             std::span<const EdgeRange> buckets) {
  std::map<int32_t, Group> by_relation;
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
      Group& group = by_relation[relation];
      group.pieces.push_back({at, group.count});
      group.count += end - at;
      at = end;
    }
  std::vector<Group> out;
  out.reserve(by_relation.size());
  for (auto& [relation, group] : by_relation) out.push_back(std::move(group));
  return out;
}

}  // namespace

struct BucketTrainer::Worker {
  Worker(const Workload& w, SharedParameters& parameters, int size, DType products)
      : threads(size), trainer(w, parameters, threads, products) {}
  cpu::Workers threads;
  BatchTrainer trainer;
  std::vector<int32_t> places;
};

BucketTrainer::BucketTrainer(const Workload& workload, SharedParameters& parameters,
                             const ThreadMode& mode, DType products)
    : w_(workload) {
  const int workers = mode.deterministic ? 1 : mode.threads;
  for (int i = 0; i < workers; ++i)
    workers_.push_back(
        std::make_unique<Worker>(w_, parameters, mode.deterministic ? mode.threads : 1, products));
}

BucketTrainer::~BucketTrainer() = default;

BucketTrainer::Outcome BucketTrainer::train(const Edges& edges, std::span<const EdgeRange> buckets,
                                            const EdgeShare& share,
                                            const std::vector<LoadedRows>& rows) {
  int64_t batches = 0;
  std::vector<Group> groups = groups_of(w_, edges, buckets);
  for (Group& group : groups) {
    group.first_batch = batches;
    const int64_t own = share_of(group.count, share.pass + 1, share.passes) -
                        share_of(group.count, share.pass, share.passes);
    batches += (own + w_.batch - 1) / w_.batch;
  }
  if (batches == 0) return {};
  const Permutation batch_order(batches, combine(share.key, 1));
  std::atomic<int64_t> next{0};
  std::vector<Outcome> outcomes(workers_.size());
  const auto work = [&](size_t id) {
    Worker& worker = *workers_[id];
    Outcome& outcome = outcomes[id];
    for (int64_t turn; (turn = next.fetch_add(1)) < batches;) {
      const int64_t k = batch_order(turn);
      const auto after =
          std::upper_bound(groups.begin(), groups.end(), k,
                           [](int64_t batch, const Group& g) { return batch < g.first_batch; });
      const Group& group = *(after - 1);
      // The order of the edges is the epoch's, so that the passes of an epoch meet each once.
      const Permutation order(
          group.count, combine(share.key, 2 + static_cast<uint64_t>(group.pieces.front().begin)));
      const int64_t from =
          share_of(group.count, share.pass, share.passes) + (k - group.first_batch) * w_.batch;
      const int64_t to =
          std::min(from + w_.batch, share_of(group.count, share.pass + 1, share.passes));
      worker.places.clear();
      for (int64_t i = from; i < to; ++i)
        worker.places.push_back(static_cast<int32_t>(group.edge(order(i))));
      Batch batch;
      batch.edges = &edges;
      batch.places = worker.places;
      batch.rows = &rows;
      batch.key = combine(combine(share.key, 3 + static_cast<uint64_t>(share.pass)),
                          static_cast<uint64_t>(k));
      outcome.loss += worker.trainer.train(batch);
      outcome.edges += to - from;
    }
  };
  std::vector<std::thread> threads;
  for (size_t id = 1; id < workers_.size(); ++id) threads.emplace_back(work, id);
  work(0);
  for (std::thread& thread : threads) thread.join();
  Outcome sum;
  for (const Outcome& one : outcomes) {
    sum.edges += one.edges;
    sum.loss += one.loss;
  }
  return sum;
}

}  // namespace meshplan::graph
