// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/bucket_train.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include "validate/embedding/random.hpp"

namespace meshplan::graph {
namespace {

/// Edges that batches are cut from: all of a bucket, or those of one relation in it.
struct Group {
  size_t bucket;
  int64_t begin, count, first_batch;  ///< first of all batches that is this group's
};

/// A pass takes places [count pass / passes, count (pass + 1) / passes) of the shuffled group.
int64_t share(int64_t count, int64_t pass, int64_t passes) { return count * pass / passes; }

/// Appends the groups of one bucket.
void add_groups(const Workload& w, const Edges& edges, size_t bucket, const BucketPlace& place,
                std::vector<Group>& groups, int64_t& batches) {
  for (int64_t at = place.begin; at < place.end;) {
    int64_t end = place.end;
    if (!w.batches_mix_relations()) {
      const int32_t relation = edges.relation[static_cast<size_t>(at)];
      end = std::upper_bound(edges.relation.begin() + at, edges.relation.begin() + place.end,
                             relation) -
            edges.relation.begin();
    }
    const int64_t count = end - at;
    const int64_t own =
        share(count, place.pass + 1, place.passes) - share(count, place.pass, place.passes);
    groups.push_back({bucket, at, count, batches});
    batches += (own + w.batch - 1) / w.batch;
    at = end;
  }
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

BucketTrainer::Outcome BucketTrainer::train(const Edges& edges,
                                            std::span<const BucketPlace> buckets,
                                            const PartOf& part_of) {
  int64_t batches = 0;
  std::vector<Group> groups;
  for (size_t b = 0; b < buckets.size(); ++b) add_groups(w_, edges, b, buckets[b], groups, batches);
  if (batches == 0) return {};
  const Permutation batch_order(batches, combine(buckets.front().key, 1));
  std::atomic<int64_t> next{0};
  std::vector<Outcome> outcomes(workers_.size());
  const auto work = [&](size_t id) {
    Worker& worker = *workers_[id];
    Outcome& outcome = outcomes[id];
    for (int64_t turn; (turn = next.fetch_add(1)) < batches;) {
      const int64_t k = batch_order(turn);
      const Group& group =
          *(std::upper_bound(groups.begin(), groups.end(), k,
                             [](int64_t batch, const Group& g) { return batch < g.first_batch; }) -
            1);
      const BucketPlace& place = buckets[group.bucket];
      // The order of the edges is the epoch's, so that the passes of an epoch meet each once.
      const Permutation order(group.count,
                              combine(place.key, 2 + static_cast<uint64_t>(group.begin)));
      const int64_t from =
          share(group.count, place.pass, place.passes) + (k - group.first_batch) * w_.batch;
      const int64_t to =
          std::min(from + w_.batch, share(group.count, place.pass + 1, place.passes));
      worker.places.clear();
      for (int64_t i = from; i < to; ++i)
        worker.places.push_back(static_cast<int32_t>(group.begin + order(i)));
      const RelationType& type =
          w_.relations[w_.dynamic_relations
                           ? 0
                           : static_cast<size_t>(
                                 edges.relation[static_cast<size_t>(worker.places.front())])];
      Batch batch;
      batch.edges = &edges;
      batch.places = worker.places;
      batch.lhs = part_of(group.bucket, type.lhs, false);
      batch.rhs = part_of(group.bucket, type.rhs, true);
      batch.key = combine(combine(place.key, 3 + static_cast<uint64_t>(place.pass)),
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
