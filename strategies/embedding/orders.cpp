// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/orders.hpp"

#include <algorithm>
#include <set>

namespace meshplan::graph {
namespace {

/// Shuffles reproducibly (Fisher and Yates with a linear congruential generator, Knuth's MMIX).
template <class T>
void shuffle(std::vector<T>& items, uint64_t seed) {
  uint64_t state = seed;
  for (size_t i = items.size(); i > 1; --i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(items[i - 1], items[static_cast<size_t>((state >> 33) % i)]);
  }
}

/// Buckets between the partitions of `own` that nobody has trained yet.
Hold take_all(const std::set<int>& own, std::set<BucketId>& done) {
  Hold hold{{own.begin(), own.end()}, {}};
  for (const int i : own)
    for (const int j : own)
      if (done.insert({i, j}).second) hold.buckets.emplace_back(i, j);
  return hold;
}

}  // namespace

std::vector<std::vector<Hold>> one_rank(std::vector<Hold> all) {
  std::vector<std::vector<Hold>> rounds;
  rounds.reserve(all.size());
  for (Hold& hold : all) rounds.push_back({std::move(hold)});
  return rounds;
}

Hold hold_all(const ScheduleShape& shape) {
  std::set<int> own;
  for (int p = 0; p < shape.partitions; ++p) own.insert(p);
  std::set<BucketId> done;
  Hold hold = take_all(own, done);
  shuffle(hold.buckets, shape.seed);
  return hold;
}

std::vector<BucketId> inside_out(const ScheduleShape& shape) {
  std::vector<BucketId> out;
  for (int layer = shape.partitions - 1; layer >= 0; --layer) {
    std::vector<int> others;
    for (int j = layer + 1; j < shape.partitions; ++j) others.push_back(j);
    shuffle(others, shape.seed + static_cast<uint64_t>(layer));
    out.emplace_back(layer, layer);
    for (const int j : others) {
      out.emplace_back(layer, j);
      out.emplace_back(j, layer);
    }
  }
  return out;
}

std::vector<BucketId> affinity(const ScheduleShape& shape) {
  std::vector<BucketId> left;
  for (int i = 0; i < shape.partitions; ++i)
    for (int j = 0; j < shape.partitions; ++j) left.emplace_back(i, j);
  shuffle(left, shape.seed);
  std::vector<BucketId> out = {left.back()};
  left.pop_back();
  while (!left.empty()) {
    const BucketId held = out.back();
    const auto one = [&](int p) { return p == held.first || p == held.second ? 1 : 0; };
    const auto shared = [&](const BucketId& b) { return one(b.first) + one(b.second); };
    const auto best = std::max_element(left.begin(), left.end(),
                                       [&](auto& a, auto& b) { return shared(a) < shared(b); });
    out.push_back(*best);
    left.erase(best);
  }
  return out;
}

std::vector<Hold> hold_for(const std::vector<BucketId>& buckets, int resident) {
  std::vector<Hold> out;
  std::set<int> own;
  for (size_t b = 0; b < buckets.size(); ++b) {
    const std::set<int> needed = {buckets[b].first, buckets[b].second};
    if (!std::includes(own.begin(), own.end(), needed.begin(), needed.end())) {
      own.insert(needed.begin(), needed.end());
      while (static_cast<int>(own.size()) > resident) {
        int victim = -1;
        size_t farthest = 0;
        for (const int p : own) {
          if (needed.contains(p)) continue;
          size_t next = b + 1;
          while (next < buckets.size() && buckets[next].first != p && buckets[next].second != p)
            ++next;
          if (victim >= 0 && next <= farthest) continue;
          victim = p;
          farthest = next;
        }
        own.erase(victim);
      }
      out.push_back({{own.begin(), own.end()}, {}});
    }
    out.back().buckets.push_back(buckets[b]);
  }
  return out;
}

/// c - 1 partitions stay while the others come one after the other into the last place; then as
/// many new ones take their places.
std::vector<Hold> beta_holds(const ScheduleShape& shape) {
  const int p = shape.partitions, c = shape.resident;
  const auto last = static_cast<size_t>(c - 1);
  std::vector<int> place, waiting;
  for (int i = 0; i < p; ++i) (i < c ? place : waiting).push_back(i);
  std::set<BucketId> done;
  std::vector<Hold> out = {take_all({place.begin(), place.end()}, done)};
  const auto put = [&](size_t at, int partition) {
    place[at] = partition;
    Hold hold = take_all({place.begin(), place.end()}, done);
    if (!hold.buckets.empty()) out.push_back(std::move(hold));
  };
  while (!waiting.empty()) {
    // Every waiting partition meets the fixed ones; the one that leaves waits for the others.
    for (int& other : waiting) {
      const int leaving = place[last];
      put(last, other);
      other = leaving;
    }
    // The fixed ones are finished; new ones take their places one by one.
    for (size_t at = 0; at < last && !waiting.empty(); ++at) {
      put(at, waiting.front());
      waiting.erase(waiting.begin());
    }
  }
  return out;
}

/// Tournament of pairs by halves: partitions of one half stay on their ranks while those of the
/// other half pass by; then both halves do the same among themselves, at the same time.
std::vector<std::vector<Hold>> halving_rounds(const ScheduleShape& shape) {
  const int p = shape.partitions;
  std::vector<std::vector<Hold>> rounds;
  std::set<BucketId> done;
  for (int size = p; size >= 2; size /= 2) {  // blocks of consecutive partitions
    const int half = size / 2;
    for (int step = 0; step < half; ++step) {
      std::vector<Hold> round;
      for (int block = 0; block < p; block += size)
        for (int k = 0; k < half; ++k)
          round.push_back(take_all({block + k, block + half + (k + step) % half}, done));
      rounds.push_back(std::move(round));
    }
  }
  return rounds;
}

}  // namespace meshplan::graph
