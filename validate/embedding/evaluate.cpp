// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/evaluate.hpp"

#include <algorithm>
#include <unordered_map>

#include "profiler/kernels/graph_operator.hpp"
#include "profiler/kernels/graph_random.hpp"
#include "profiler/kernels/graph_rows.hpp"
#include "profiler/kernels/graph_scores.hpp"
#include "profiler/kernels/workers.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::graph {
namespace {

constexpr int64_t kBlock = 128;  // queries that share a product

/// Known answers of a question (end, relation), sorted.
using Answers = std::unordered_map<uint64_t, std::vector<int32_t>>;
uint64_t question(int32_t end, int32_t relation) {
  return static_cast<uint64_t>(static_cast<uint32_t>(relation)) << 32 | static_cast<uint32_t>(end);
}

Answers answers_of(const std::vector<const Edges*>& known, bool right) {
  Answers out;
  for (const Edges* edges : known)
    for (size_t e = 0; e < edges->lhs.size(); ++e)
      out[question(right ? edges->lhs[e] : edges->rhs[e], edges->relation[e])].push_back(
          right ? edges->rhs[e] : edges->lhs[e]);
  for (auto& [key, list] : out) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  return out;
}

struct Sums {
  double mean_rank = 0, mrr = 0, hits1 = 0, hits3 = 0, hits10 = 0, auc = 0;
  int64_t queries = 0;
  void add(Ties ties, int64_t better, int64_t equal, int64_t candidates) {
    const double half = static_cast<double>(equal) / 2;
    const double rank = 1 + static_cast<double>(better) +
                        (ties == Ties::pessimistic ? static_cast<double>(equal)
                         : ties == Ties::realistic ? half
                                                   : 0);
    ++queries;
    mean_rank += rank;
    mrr += 1 / rank;
    hits1 += rank <= 1 ? 1 : 0;
    hits3 += rank <= 3 ? 1 : 0;
    hits10 += rank <= 10 ? 1 : 0;
    if (candidates > 0)
      auc += 1 - (static_cast<double>(better) + half) / static_cast<double>(candidates);
  }
  void add(const Sums& o) {
    queries += o.queries;
    mean_rank += o.mean_rank;
    mrr += o.mrr;
    hits1 += o.hits1;
    hits3 += o.hits3;
    hits10 += o.hits10;
    auc += o.auc;
  }
  Ranking ranking() const {
    const double n = queries > 0 ? static_cast<double>(queries) : 1;
    return {queries, mean_rank / n, mrr / n, hits1 / n, hits3 / n, hits10 / n, auc / n};
  }
};

/// Vectors of entities as the model sees them: features averaged, global vector added.
std::vector<float> vectors(const Workload& w, const Graph& graph, int type, const Table& table,
                           const SharedParameters& parameters) {
  const int64_t cols = w.dimension, count = graph.count(type);
  std::vector<float> out(static_cast<size_t>(count * cols));
  const Features& f = graph.features[static_cast<size_t>(type)];
  for (int64_t i = 0; i < count; ++i) {
    float* row = out.data() + i * cols;
    if (f.count == 0) {
      std::copy_n(table.values() + i * cols, cols, row);
    } else {
      const int64_t begin = f.begin[static_cast<size_t>(i)],
                    end = f.begin[static_cast<size_t>(i) + 1];
      for (int64_t k = begin; k < end; ++k)
        cpu::add_row(cols, table.values() + f.rows[static_cast<size_t>(k)] * cols, row);
      for (int64_t c = 0; c < cols; ++c) row[c] /= static_cast<float>(end - begin);
    }
    if (!parameters.global.empty())
      cpu::add_row(cols, parameters.global[static_cast<size_t>(type)].row(0), row);
  }
  return out;
}

struct Space {
  cpu::ScoreSpace scores;
  std::vector<float> query, operated, result;
};

/// One side of one relation type.
class SideRanker {
 public:
  SideRanker(const Workload& w, const EvaluateOptions& options, const RelationType& type,
             const SharedParameters& parameters, size_t type_index, bool right)
      : w_(w), o_(options), type_(type), p_(parameters), t_(type_index), right_(right) {}

  /// from: vectors of the known ends; to: of the candidates, operated where the model has the
  /// operator on that side.
  void block(const Edges& edges, const int32_t* places, int64_t count, const float* from,
             const float* to, int64_t candidates, const std::vector<int32_t>& drawn,
             const Answers& answers, Space& space, Sums& filtered, Sums& raw) const {
    const int64_t cols = w_.dimension;
    space.query.resize(static_cast<size_t>(count * cols));
    space.operated.resize(space.query.size());
    std::vector<int32_t> relations;
    for (int64_t i = 0; i < count; ++i) {
      const auto e = static_cast<size_t>(places[i]);
      const int64_t end = right_ ? edges.lhs[e] : edges.rhs[e];
      std::copy_n(from + end * cols, cols, space.query.data() + i * cols);
      relations.push_back(w_.dynamic_relations ? edges.relation[e] : 0);
    }
    const float* query = space.query.data();
    // Plain relations: g on right ends only. Dynamic ones: on the known end of either side.
    if (w_.dynamic_relations || !right_) {
      const ParameterTable& table = w_.dynamic_relations && right_ ? p_.lhs[t_] : p_.rhs[t_];
      apply(table, relations, count, query, space.operated.data());
      query = space.operated.data();
    }
    space.result.resize(static_cast<size_t>(count * candidates));
    const cpu::ScoreShape shape{w_.comparator, w_.bias, count, candidates, cols};
    cpu::scores(shape, query, to, space.scores, space.result.data());
    for (int64_t i = 0; i < count; ++i) {
      const auto e = static_cast<size_t>(places[i]);
      const int32_t answer = right_ ? edges.rhs[e] : edges.lhs[e];
      const int32_t end = right_ ? edges.lhs[e] : edges.rhs[e];
      float* s = space.result.data() + i * candidates;
      const float own = drawn.empty() ? s[answer] : own_score(query + i * cols, to, answer, space);
      int64_t better = 0, equal = 0, all = candidates;
      for (int64_t j = 0; j < candidates; ++j) {
        better += s[j] > own ? 1 : 0;
        equal += s[j] == own ? 1 : 0;
      }
      const auto known = answers.find(question(end, edges.relation[e]));
      int64_t known_better = 0, known_equal = 0, known_all = 0;
      const auto count_known = [&](int64_t j) {
        known_better += s[j] > own ? 1 : 0;
        known_equal += s[j] == own ? 1 : 0;
        ++known_all;
      };
      if (drawn.empty()) {
        --equal;  // the answer itself
        --all;
        if (known != answers.end())
          for (const int32_t j : known->second)
            if (j != answer) count_known(j);
      } else if (known != answers.end()) {
        for (int64_t j = 0; j < candidates; ++j)
          if (std::binary_search(known->second.begin(), known->second.end(),
                                 drawn[static_cast<size_t>(j)]))
            count_known(j);
      }
      raw.add(o_.ties, better, equal, all);
      filtered.add(o_.ties, better - known_better, equal - known_equal, all - known_all);
    }
  }

  void apply(const ParameterTable& table, const std::vector<int32_t>& relations, int64_t count,
             const float* in, float* out) const {
    cpu::OperatorRows rows{type_.op, w_.dimension, table.values.data(), 0, nullptr};
    const bool dense = type_.op == Operator::linear || type_.op == Operator::affine;
    if (!dense) {
      rows.stride = table.cols;
      rows.index = relations.data();
      if (table.cols == 0) rows.stride = 0;
      cpu::apply_operator(rows, count, in, out);
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      rows.params = table.row(relations[static_cast<size_t>(i)]);
      cpu::apply_operator(rows, 1, in + i * w_.dimension, out + i * w_.dimension);
    }
  }

  std::vector<float> own_rows;  ///< with drawn candidates: vectors of all entities

 private:
  float own_score(const float* query, const float*, int32_t answer, Space& space) const {
    float score = 0;
    const cpu::ScoreShape shape{w_.comparator, w_.bias, 1, 1, w_.dimension};
    cpu::scores(shape, query, own_rows.data() + answer * w_.dimension, space.scores, &score);
    return score;
  }

  const Workload& w_;
  const EvaluateOptions& o_;
  const RelationType& type_;
  const SharedParameters& p_;
  size_t t_;
  bool right_;
};

}  // namespace

const char* name_of(Ties ties) {
  return ties == Ties::realistic     ? "realistic"
         : ties == Ties::pessimistic ? "pessimistic"
                                     : "optimistic";
}

Result<Ties> ties_from(const std::string& text, const std::string& where) {
  for (const Ties ties : {Ties::realistic, Ties::pessimistic, Ties::optimistic})
    if (text == name_of(ties)) return ties;
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "there is no such policy for ties",
                    .where = where,
                    .value = text,
                    .hint = suggest(text, {"realistic", "pessimistic", "optimistic"})};
}

Evaluation evaluate(const Workload& w, const Graph& graph, const std::vector<const Table*>& tables,
                    const SharedParameters& parameters, const Edges& edges,
                    const std::vector<const Edges*>& known, const EvaluateOptions& options) {
  std::vector<const Edges*> all = known;
  all.push_back(&edges);
  std::vector<std::vector<float>> rows;
  for (size_t t = 0; t < tables.size(); ++t)
    rows.push_back(vectors(w, graph, static_cast<int>(t), *tables[t], parameters));
  Sums filtered, raw;
  cpu::Workers workers(options.threads);
  for (const bool right : {false, true}) {
    const Answers answers = answers_of(all, right);
    for (size_t t = 0; t < w.relations.size(); ++t) {
      const RelationType& type = w.relations[t];
      std::vector<int32_t> places;
      const int64_t limit = options.limit > 0 ? options.limit : edges.size();
      for (int64_t e = 0; e < std::min(limit, edges.size()); ++e)
        if (w.dynamic_relations ||
            edges.relation[static_cast<size_t>(e)] == static_cast<int32_t>(t))
          places.push_back(static_cast<int32_t>(e));
      if (places.empty()) continue;
      const auto from_type = static_cast<size_t>(right ? type.lhs : type.rhs);
      const auto to_type = static_cast<size_t>(right ? type.rhs : type.lhs);
      SideRanker ranker(w, options, type, parameters, t, right);
      std::vector<float> to = rows[to_type];
      if (!w.dynamic_relations && right) {
        const int64_t n = graph.count(static_cast<int>(to_type));
        const std::vector<int32_t> zero(static_cast<size_t>(n), 0);
        const cpu::OperatorRows op{type.op, w.dimension, parameters.rhs[t].values.data(), 0,
                                   nullptr};
        cpu::apply_operator(op, n, rows[to_type].data(), to.data());
      }
      std::vector<int32_t> drawn;
      if (options.candidates > 0) {
        ranker.own_rows = to;
        std::vector<float> some;
        const int64_t n = graph.count(static_cast<int>(to_type));
        for (int64_t j = 0; j < options.candidates; ++j) {
          drawn.push_back(static_cast<int32_t>(
              below(combine(options.seed + (right ? 1 : 0), static_cast<uint64_t>(j)), n)));
          const float* row = to.data() + drawn.back() * w.dimension;
          some.insert(some.end(), row, row + w.dimension);
        }
        to = std::move(some);
      }
      const int64_t candidates = static_cast<int64_t>(to.size()) / w.dimension;
      const auto n = static_cast<int64_t>(places.size());
      const int64_t blocks = (n + kBlock - 1) / kBlock;
      std::vector<Sums> block_filtered(static_cast<size_t>(blocks)),
          block_raw(static_cast<size_t>(blocks));
      std::vector<Space> spaces(static_cast<size_t>(workers.size()));
      workers.run(blocks, [&](int64_t b, int worker) {
        const int64_t begin = b * kBlock;
        ranker.block(edges, places.data() + begin, std::min(kBlock, n - begin),
                     rows[from_type].data(), to.data(), candidates, drawn, answers,
                     spaces[static_cast<size_t>(worker)], block_filtered[static_cast<size_t>(b)],
                     block_raw[static_cast<size_t>(b)]);
      });
      for (int64_t b = 0; b < blocks; ++b) {
        filtered.add(block_filtered[static_cast<size_t>(b)]);
        raw.add(block_raw[static_cast<size_t>(b)]);
      }
    }
  }
  return {filtered.ranking(), raw.ranking()};
}

}  // namespace meshplan::graph
