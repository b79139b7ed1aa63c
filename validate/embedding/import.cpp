// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <thread>

#include "profiler/kernels/graph_random.hpp"
#include "validate/embedding/features.hpp"
#include "validate/embedding/mapped_file.hpp"
#include "validate/embedding/parse_edges.hpp"

namespace meshplan::graph {
namespace {

constexpr size_t kSmallest = size_t{1} << 16;  // bytes for which a thread is worth its start

void in_threads(size_t count, const std::function<void(size_t)>& body) {
  std::vector<std::thread> threads;
  for (size_t i = 1; i < count; ++i) threads.emplace_back(body, i);
  body(0);
  for (std::thread& thread : threads) thread.join();
}

Diagnostic at_line(const MappedFile& file, const RangeEdges::Problem& problem) {
  const std::string_view before = file.text().substr(0, problem.at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  return {.kind = ErrorKind::input,
          .message = problem.message,
          .where = fmt::format("{}:{}", file.path(), line),
          .value = problem.value,
          .hint = problem.hint};
}

/// Appends one file's edges; ids are places in `names`.
Status read_edges(const Workload& w, const ImportOptions& options, const MappedFile& file,
                  KnownNames& names, Edges& out) {
  const std::string_view text = file.text();
  const size_t ranges =
      std::clamp<size_t>(text.size() / kSmallest, 1, static_cast<size_t>(options.threads));
  std::vector<size_t> border = {0};
  for (size_t i = 1; i < ranges; ++i) {
    const size_t found = text.find('\n', text.size() * i / ranges);
    border.push_back(std::max(border.back(), found == text.npos ? text.size() : found + 1));
  }
  border.push_back(text.size());
  std::vector<RangeEdges> parts(ranges);
  in_threads(ranges,
             [&](size_t i) { parts[i] = parse_range(w, names, text, border[i], border[i + 1]); });
  for (const RangeEdges& part : parts)
    if (part.problem) return at_line(file, *part.problem);

  // Local numbers become numbers of the whole file, range after range: the order of the lines.
  std::vector<std::vector<std::vector<int32_t>>> place(ranges);
  std::vector<std::vector<int32_t>> relation_place(ranges);
  std::vector<size_t> first(ranges, out.lhs.size());
  const auto merged = [](const Dictionary& from, Dictionary& to) {
    std::vector<int32_t> at;
    at.reserve(from.names().size());
    for (const std::string_view name : from.names()) at.push_back(to.add(name, hash_of(name)));
    return at;
  };
  for (size_t i = 0; i < ranges; ++i) {
    for (size_t t = 0; t < names.entities.size(); ++t)
      place[i].push_back(merged(parts[i].entities[t], names.entities[t]));
    relation_place[i] = merged(parts[i].relations, names.relations);
    if (i > 0) first[i] = first[i - 1] + parts[i - 1].edges.lhs.size();
  }
  const size_t total = first.back() + parts.back().edges.lhs.size();
  const bool weighted = w.data.weight_column >= 0;
  out.lhs.resize(total);
  out.relation.resize(total);
  out.rhs.resize(total);
  if (weighted) out.weight.resize(total);
  in_threads(ranges, [&](size_t i) {
    const Edges& from = parts[i].edges;
    for (size_t e = 0; e < from.lhs.size(); ++e) {
      const int32_t relation = w.dynamic_relations && w.data.relation_column >= 0
                                   ? relation_place[i][static_cast<size_t>(from.relation[e])]
                                   : from.relation[e];
      const RelationType& type =
          w.relations[w.dynamic_relations ? 0 : static_cast<size_t>(relation)];
      const auto global = [&](int side, int32_t id) {
        const auto t = static_cast<size_t>(side);
        return names.closed[t] ? id : place[i][t][static_cast<size_t>(id)];
      };
      out.lhs[first[i] + e] = global(type.lhs, from.lhs[e]);
      out.relation[first[i] + e] = relation;
      out.rhs[first[i] + e] = global(type.rhs, from.rhs[e]);
      if (weighted) out.weight[first[i] + e] = from.weight[e];
    }
    parts[i] = RangeEdges{};
  });
  return Done{};
}

/// Closed lists of names, one a line.
Status read_names(const Workload& w, std::vector<MappedFile>& kept, KnownNames& names) {
  for (const EntityType& type : w.entities) {
    names.entities.emplace_back();
    names.closed.push_back(!type.names_file.empty());
    if (type.names_file.empty()) continue;
    MESHPLAN_TRY(MappedFile file, MappedFile::open(type.names_file));
    const std::string_view text = file.text();
    int64_t line = 1;
    for (size_t at = 0; at < text.size(); ++line) {
      const size_t stop = std::min(text.find('\n', at), text.size());
      std::string_view name = text.substr(at, stop - at);
      if (name.ends_with('\r')) name.remove_suffix(1);
      at = stop + 1;
      if (names.entities.back().add(name, hash_of(name)) != line - 1)
        return Diagnostic{.kind = ErrorKind::input,
                          .message = "a name stands twice in the list",
                          .where = fmt::format("{}:{}", type.names_file, line),
                          .value = std::string(name),
                          .hint = "remove one of them"};
    }
    kept.push_back(std::move(file));
  }
  for (const RelationType& relation : w.relations)
    if (!w.dynamic_relations) names.relations.add(relation.name, hash_of(relation.name));
  return Done{};
}

void renumber(const Workload& w, const std::vector<std::vector<int32_t>>& place, Edges& edges) {
  for (size_t e = 0; e < edges.lhs.size(); ++e) {
    const RelationType& type =
        w.relations[w.dynamic_relations ? 0 : static_cast<size_t>(edges.relation[e])];
    edges.lhs[e] = place[static_cast<size_t>(type.lhs)][static_cast<size_t>(edges.lhs[e])];
    edges.rhs[e] = place[static_cast<size_t>(type.rhs)][static_cast<size_t>(edges.rhs[e])];
  }
}

}  // namespace

std::vector<int32_t> shuffled_places(int64_t count, uint64_t seed) {
  std::vector<int32_t> place(static_cast<size_t>(count));
  std::iota(place.begin(), place.end(), 0);
  for (int64_t i = count - 1; i > 0; --i)
    std::swap(place[static_cast<size_t>(i)],
              place[static_cast<size_t>(below(combine(seed, static_cast<uint64_t>(i)), i + 1))]);
  return place;
}

Result<Graph> import_graph(const Workload& w, const ImportOptions& options) {
  if (w.data.train.empty())
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "the workload names no file with edges",
                      .where = w.name + ": data",
                      .hint = "data: {train: [edges.tsv]}"};
  KnownNames names;
  std::vector<MappedFile> kept;  // the dictionaries point into them
  MESHPLAN_CHECK(read_names(w, kept, names));
  Graph graph;
  const auto read_all = [&](const std::vector<std::string>& paths, Edges& edges) -> Status {
    for (const std::string& path : paths) {
      MESHPLAN_TRY(MappedFile file, MappedFile::open(path));
      MESHPLAN_CHECK(read_edges(w, options, file, names, edges));
      kept.push_back(std::move(file));
    }
    return Done{};
  };
  MESHPLAN_CHECK(read_all(w.data.train, graph.train));
  MESHPLAN_CHECK(read_all(w.data.valid, graph.valid));
  MESHPLAN_CHECK(read_all(w.data.test, graph.test));
  if (graph.train.lhs.empty())
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "there is no edge to train on",
                      .where = w.data.train.front()};
  std::vector<std::vector<int32_t>> place;
  for (size_t t = 0; t < w.entities.size(); ++t) {
    const Dictionary& all = names.entities[t];
    if (w.entities[t].count > 0 && w.entities[t].count != all.size())
      return Diagnostic{.kind = ErrorKind::input,
                        .message = fmt::format("the files have {} entities of type '{}'",
                                               all.size(), w.entities[t].name),
                        .where = w.name + ": count",
                        .value = fmt::format("{}", w.entities[t].count),
                        .hint = "correct the count, or leave it out"};
    place.push_back(shuffled_places(all.size(), combine(options.seed, t)));
    std::vector<std::string_view> by_index(all.names().size());
    for (size_t i = 0; i < by_index.size(); ++i)
      by_index[static_cast<size_t>(place[t][i])] = all.names()[i];
    graph.entities.emplace_back(by_index);
    graph.features.emplace_back();
    if (w.entities[t].features_file.empty()) continue;
    MESHPLAN_TRY(graph.features.back(),
                 read_features(w.entities[t].features_file, graph.entities.back()));
  }
  graph.relations = Names(names.relations.names());
  for (Edges* edges : {&graph.train, &graph.valid, &graph.test}) renumber(w, place, *edges);
  return graph;
}

Workload with_counts(Workload w, const Graph& graph) {
  for (size_t t = 0; t < w.entities.size(); ++t) {
    w.entities[t].count = graph.count(static_cast<int>(t));
    w.entities[t].features = graph.features[t].count;
  }
  if (w.dynamic_relations) w.dynamic_count = std::max<int64_t>(1, graph.relations.size());
  w.edges = graph.train.size();
  return w;
}

}  // namespace meshplan::graph
