// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/graph.hpp"

#include <algorithm>
#include <cassert>

namespace meshplan::graph {

int32_t part_of(int64_t index, int64_t parts, int64_t count) {
  assert(count > 0);
  // first_of rounds down, so the quotient may be one too small.
  int64_t part = index * parts / count;
  while (first_of(part + 1, parts, count) <= index) ++part;
  return static_cast<int32_t>(part);
}

Names::Names(const std::vector<std::string_view>& by_index) {
  int64_t total = 0;
  for (const std::string_view name : by_index) total += static_cast<int64_t>(name.size());
  text_.reserve(static_cast<size_t>(total));
  begin_.reserve(by_index.size() + 1);
  begin_.push_back(0);
  for (const std::string_view name : by_index) {
    text_ += name;
    begin_.push_back(static_cast<int64_t>(text_.size()));
  }
}

std::string_view Names::operator[](int64_t index) const {
  const auto i = static_cast<size_t>(index);
  const int64_t from = begin_[i];
  return std::string_view(text_).substr(static_cast<size_t>(from),
                                        static_cast<size_t>(begin_[i + 1] - from));
}

Buckets into_buckets(const Workload& workload, const Graph& graph, Edges edges,
                     const std::vector<int64_t>& parts) {
  Buckets out;
  for (const RelationType& relation : workload.relations) {
    out.lhs_parts = std::max(out.lhs_parts, parts[static_cast<size_t>(relation.lhs)]);
    out.rhs_parts = std::max(out.rhs_parts, parts[static_cast<size_t>(relation.rhs)]);
  }
  const int64_t buckets = out.lhs_parts * out.rhs_parts;
  const int64_t groups = workload.batches_mix_relations() ? 1 : workload.relation_count();
  const int64_t n = edges.size();
  // An end in an unpartitioned type beside partitioned ones may go to any bucket: edges are spread.
  std::vector<int32_t> key(static_cast<size_t>(n));
  std::vector<int64_t> next(static_cast<size_t>(buckets * groups) + 1, 0);
  for (int64_t e = 0; e < n; ++e) {
    const auto i = static_cast<size_t>(e);
    const int64_t relation = edges.relation[i];
    const RelationType& type =
        workload.relations[workload.dynamic_relations ? 0 : static_cast<size_t>(relation)];
    const auto side = [&](int entity, int64_t index, int64_t side_parts) {
      const int64_t own = parts[static_cast<size_t>(entity)];
      if (own < side_parts) return e % side_parts;
      return static_cast<int64_t>(own == 1 ? 0 : part_of(index, own, graph.count(entity)));
    };
    const int64_t bucket = side(type.lhs, edges.lhs[i], out.lhs_parts) * out.rhs_parts +
                           side(type.rhs, edges.rhs[i], out.rhs_parts);
    key[i] = static_cast<int32_t>(bucket * groups + (groups > 1 ? relation : 0));
    ++next[static_cast<size_t>(key[i]) + 1];
  }
  for (size_t k = 1; k < next.size(); ++k) next[k] += next[k - 1];
  for (int64_t b = 0; b <= buckets; ++b) out.begin.push_back(next[static_cast<size_t>(b * groups)]);
  if (buckets * groups == 1) {
    out.edges = std::move(edges);
    return out;
  }
  std::vector<int32_t> place(static_cast<size_t>(n));
  for (size_t i = 0; i < place.size(); ++i)
    place[i] = static_cast<int32_t>(next[static_cast<size_t>(key[i])]++);
  const auto moved = [&](auto& from) {
    std::remove_reference_t<decltype(from)> to(from.size());
    for (size_t i = 0; i < from.size(); ++i) to[static_cast<size_t>(place[i])] = from[i];
    from = {};
    return to;
  };
  out.edges.lhs = moved(edges.lhs);
  out.edges.relation = moved(edges.relation);
  out.edges.rhs = moved(edges.rhs);
  out.edges.weight = moved(edges.weight);
  return out;
}

}  // namespace meshplan::graph
