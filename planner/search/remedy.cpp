// SPDX-License-Identifier: Apache-2.0
#include "planner/search/remedy.hpp"

namespace meshplan {

std::optional<Remedy> more_gpus(const SearchQuestion& question, const SearchResult& result) {
  if (!result.none || !result.none->plan || result.none->capacity_bytes <= 0) return std::nullopt;
  constexpr int64_t kMost = 256, kMostGpus = 262'144;
  // What every rank holds does not shrink, so fewer GPUs than this cannot be enough.
  const double short_by = static_cast<double>(result.none->needed_bytes) /
                          static_cast<double>(result.none->capacity_bytes);
  SearchMemory memory;
  for (int64_t half = 1; half <= kMost; half *= 2) {
    for (const int64_t times : {2 * half, 3 * half}) {
      if (times > kMost || static_cast<double>(times) < short_by) continue;
      SearchQuestion larger = question;
      if (question.cluster.gpus() * times > kMostGpus) return std::nullopt;
      auto cluster = with_gpus(question.cluster, question.cluster.gpus() * times);
      if (!cluster.ok()) return std::nullopt;
      larger.cluster = std::move(cluster).value();
      larger.top_k = 1;
      const auto found = search(larger, memory);
      if (!found.ok()) return std::nullopt;
      if (!found->plans.empty()) return Remedy{larger.cluster.gpus(), found->plans.front()};
    }
  }
  return std::nullopt;
}

}  // namespace meshplan
