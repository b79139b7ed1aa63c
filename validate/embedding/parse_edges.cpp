// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/parse_edges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "topologies/base/nearest.hpp"

namespace meshplan::graph {
namespace {

// Lines whose hash slots are fetched together before the first is looked up.
constexpr size_t kTogether = 32;
constexpr size_t kShown = 60;  // characters of a bad line in a message

struct Line {
  std::string_view lhs, rhs;
  uint64_t lhs_hash = 0, rhs_hash = 0;
  size_t at = 0;
  int32_t relation = 0;
  int lhs_type = 0, rhs_type = 0;
  float weight = 1;
};

class RangeParser {
 public:
  RangeParser(const Workload& workload, const KnownNames& known)
      : w_(workload), known_(known), wanted_(wanted_columns(workload.data)) {
    for (size_t i = 0; i < known.entities.size(); ++i) out_.entities.emplace_back();
  }

  RangeEdges run(std::string_view text, size_t begin, size_t end) {
    size_t at = begin;
    while (at < end && !out_.problem) {
      size_t count = 0;
      while (count < kTogether && at < end && !out_.problem) {
        const size_t stop = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, stop - at);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (!line.empty() && parse(line, at, lines_[count])) ++count;
        at = stop + 1;
      }
      for (size_t i = 0; i < count && (!out_.problem || lines_[i].at < out_.problem->at); ++i)
        resolve(lines_[i]);
    }
    return std::move(out_);
  }

 private:
  static int wanted_columns(const GraphData& d) {
    return 1 + std::max({d.lhs_column, d.rhs_column, d.relation_column, d.weight_column});
  }

  void problem(size_t at, std::string message, std::string_view value, std::string hint) {
    if (out_.problem && out_.problem->at <= at) return;
    out_.problem = {at, std::move(message), std::string(value.substr(0, kShown)), std::move(hint)};
  }

  /// Splits a line; false where it has a problem.
  bool parse(std::string_view line, size_t at, Line& out) {
    std::array<std::string_view, 4> field{};  // lhs, relation, rhs, weight
    const std::array<int, 4> column = {w_.data.lhs_column, w_.data.relation_column,
                                       w_.data.rhs_column, w_.data.weight_column};
    size_t from = 0;
    int columns = 0;
    while (columns < wanted_ && from <= line.size()) {
      const void* found = std::memchr(line.data() + from, w_.data.separator, line.size() - from);
      const size_t stop = found == nullptr
                              ? line.size()
                              : static_cast<size_t>(static_cast<const char*>(found) - line.data());
      for (size_t k = 0; k < field.size(); ++k)
        if (column[k] == columns) field[k] = line.substr(from, stop - from);
      from = stop + 1;
      ++columns;
    }
    if (columns < wanted_) {
      problem(at, fmt::format("a line has {} columns, {} are needed", columns, wanted_), line,
              w_.data.separator == '\t' ? "columns are separated by tabs; separator: comma for CSV"
                                        : "columns are separated by commas; separator: tab");
      return false;
    }
    out.at = at;
    out.lhs = field[0];
    out.rhs = field[2];
    if (out.lhs.empty() || out.rhs.empty()) {
      problem(at, "an entity has no name", line, "remove the line");
      return false;
    }
    return relation(field[1], out) && weight(field[3], out) && hash(out);
  }

  bool relation(std::string_view name, Line& out) {
    out.relation = 0;
    if (w_.data.relation_column >= 0) {
      const uint64_t h = hash_of(name);
      if (w_.dynamic_relations) {
        out.relation = out_.relations.add(name, h);
      } else if ((out.relation = known_.relations.find(name, h)) < 0) {
        std::vector<std::string> names;
        for (const RelationType& r : w_.relations) names.push_back(r.name);
        problem(out.at, "there is no such relation", name,
                suggest(name, names) + "; dynamic_relations: true takes what the file has");
        return false;
      }
    }
    const auto type = w_.dynamic_relations ? 0 : static_cast<size_t>(out.relation);
    out.lhs_type = w_.relations[type].lhs;
    out.rhs_type = w_.relations[type].rhs;
    return true;
  }

  bool weight(std::string_view text, Line& out) {
    out.weight = 1;
    if (w_.data.weight_column < 0) return true;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.weight);
    if (error == std::errc() && end == text.data() + text.size() && std::isfinite(out.weight))
      return true;
    problem(out.at, "a weight is not a number", text, "e.g. 0.25");
    return false;
  }

  bool hash(Line& out) {
    out.lhs_hash = hash_of(out.lhs);
    out.rhs_hash = hash_of(out.rhs);
    names_of(out.lhs_type).prefetch(out.lhs_hash);
    names_of(out.rhs_type).prefetch(out.rhs_hash);
    return true;
  }

  const Dictionary& names_of(int type) const {
    const auto t = static_cast<size_t>(type);
    return known_.closed[t] ? known_.entities[t] : out_.entities[t];
  }

  int32_t entity(int type, std::string_view name, uint64_t h, size_t at) {
    const auto t = static_cast<size_t>(type);
    if (!known_.closed[t]) return out_.entities[t].add(name, h);
    const int32_t id = known_.entities[t].find(name, h);
    if (id < 0)
      problem(
          at,
          fmt::format("an edge to an entity that is not in the names of '{}'", w_.entities[t].name),
          name, "add it to the names file, or leave the key 'names' out");
    return id;
  }

  void resolve(const Line& line) {
    const int32_t lhs = entity(line.lhs_type, line.lhs, line.lhs_hash, line.at);
    const int32_t rhs = entity(line.rhs_type, line.rhs, line.rhs_hash, line.at);
    if (lhs < 0 || rhs < 0) return;
    out_.edges.lhs.push_back(lhs);
    out_.edges.relation.push_back(line.relation);
    out_.edges.rhs.push_back(rhs);
    if (w_.data.weight_column >= 0) out_.edges.weight.push_back(line.weight);
  }

  const Workload& w_;
  const KnownNames& known_;
  int wanted_;
  RangeEdges out_;
  std::array<Line, kTogether> lines_;
};

}  // namespace

RangeEdges parse_range(const Workload& workload, const KnownNames& known, std::string_view text,
                       size_t begin, size_t end) {
  return RangeParser(workload, known).run(text, begin, end);
}

}  // namespace meshplan::graph
