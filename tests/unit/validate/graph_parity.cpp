// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/validate/graph_parity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "validate/embedding/bucket_train.hpp"

namespace meshplan::test {
namespace {

using namespace graph;  // NOLINT

constexpr int64_t kEntities = 70, kEdges = 300, kRelations = 3;
constexpr int kVariants = 6;

/// Operators, relations and losses; `variant` switches the rest.
Workload workload(Operator op, bool dynamic, Loss loss, int variant) {
  Workload w;
  w.name = "parity";
  w.dimension = 24;
  w.comparator = Comparator::dot;
  w.loss = loss;
  w.margin = 0.3;
  w.batch = 100;
  w.learning_rate = 0.05;
  w.relation_learning_rate = 0.02;
  w.negatives = {.batch = 16, .uniform = 13};
  w.entities = {{.name = "node", .count = kEntities}};
  if (variant == 1) {  // ends of two types, weights of relations
    w.entities.push_back({.name = "other", .count = kEntities});
    w.negatives.mask_answers = true;
  }
  const int rhs = variant == 1 ? 1 : 0;
  for (int64_t r = 0; r < (dynamic ? 1 : kRelations); ++r)
    w.relations.push_back({.name = fmt::format("r{}", r),
                           .rhs = rhs,
                           .op = op,
                           .weight = 1 + 0.5 * static_cast<double>(r)});
  w.dynamic_relations = dynamic;
  w.dynamic_count = dynamic ? kRelations : 0;
  w.operator_init_scale = 0.5;
  if (variant == 0 || variant == 2) w.n3 = 0.02;
  if (variant == 2) w.negatives.lhs = false;
  if (variant == 3) {
    w.negatives = {.batch = 0, .uniform = 20};
    w.data.weight_column = 3;
  }
  if (variant == 4) w.negatives = {.batch = 30, .uniform = 0, .rhs = false};
  if (variant == 5) w.max_norm = 0.9;
  w.edges = kEdges;
  return w;
}

Edges edges_of(const Workload& w) {
  Edges out;
  for (int64_t i = 0; i < kEdges; ++i) {
    const auto at = static_cast<uint64_t>(i);
    // Some entities are met far more often than others.
    const int64_t x = below(mix64(3 * at), 4) == 0 ? 5 : below(mix64(3 * at + 1), kEntities);
    out.lhs.push_back(static_cast<int32_t>(x));
    out.rhs.push_back(static_cast<int32_t>(below(mix64(3 * at + 2), kEntities)));
    // By relation where relations are not dynamic, as buckets hold them.
    out.relation.push_back(static_cast<int32_t>(w.dynamic_relations ? below(mix64(at), kRelations)
                                                                    : i * kRelations / kEdges));
    if (w.data.weight_column >= 0) out.weight.push_back(0.5F + static_cast<float>(i % 4));
  }
  return out;
}

struct Trained {
  std::vector<float> rows, operators;
  double loss = 0;
};

/// Two rounds of one pass each, the second from a device that has settled but not left.
Result<Trained> train(const Workload& w, const Edges& edges, DType products, GraphDevice* device) {
  std::vector<Tables> held(w.entities.size());  // of two partitions each, as they are loaded
  std::vector<LoadedRows> rows(w.entities.size());
  for (size_t t = 0; t < w.entities.size(); ++t) {
    held[t].reserve(2);
    for (const int64_t part : {0, 1}) {
      const int64_t first = first_of(part, 2, kEntities), end = first_of(part + 1, 2, kEntities);
      Table& table = held[t].emplace_back(end - first, w.dimension);
      initialise(table, static_cast<int>(t), first, 0.3, 0, 7, 1);
      rows[t].add(table, first, end - first);
    }
  }
  SharedParameters parameters = initial_parameters(w, 7);
  BucketTrainer trainer(w, parameters, {1, true}, products, device);
  const std::vector<EdgeRange> buckets = {{0, kEdges / 2}, {kEdges / 2, kEdges}};
  Trained out;
  for (const uint64_t round : {1, 2}) {
    MESHPLAN_TRY(const BucketTrainer::Outcome outcome,
                 trainer.train(edges, buckets, {0, 1, round}, rows));
    out.loss = outcome.loss;
    for (const Tables& tables : held) MESHPLAN_CHECK(trainer.settle(tables, round == 2));
  }
  for (const Tables& tables : held)
    for (const Table& table : tables)
      out.rows.insert(out.rows.end(), table.memory.data(),
                      table.memory.data() + table.memory.size());
  for (const ParameterTable* table : parameters.all()) {
    out.operators.insert(out.operators.end(), table->values.begin(), table->values.end());
    out.operators.insert(out.operators.end(), table->sums.begin(), table->sums.end());
  }
  return out;
}

double apart(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    if (!std::isfinite(x)) return INFINITY;
    difference = std::max(difference, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
  }
  return difference / largest;
}

}  // namespace

Result<std::vector<GraphParity>> graph_parity(GraphDevice& device) {
  std::vector<GraphParity> out;
  int turn = 0;
  for (const Operator op :
       {Operator::none, Operator::diagonal, Operator::translation, Operator::complex_diagonal})
    for (const bool dynamic : {false, true})
      for (const Loss loss : {Loss::softmax, Loss::logistic, Loss::ranking})
        for (const DType products : {DType::fp32, DType::bf16}) {
          const int variant = turn++ / 2 % kVariants;
          const Workload w = workload(op, dynamic, loss, (variant + (dynamic ? 1 : 0)) % kVariants);
          const Edges edges = edges_of(w);
          MESHPLAN_TRY(const Trained cpu, train(w, edges, products, nullptr));
          MESHPLAN_TRY(const Trained one, train(w, edges, products, &device));
          MESHPLAN_TRY(const Trained two, train(w, edges, products, &device));
          out.push_back(
              {fmt::format("{}, {}, {}, variant {}", name_of(op), dynamic ? "dynamic" : "typed",
                           name_of(loss), variant),
               products, apart(one.rows, cpu.rows), apart(one.operators, cpu.operators),
               std::abs(one.loss / cpu.loss - 1),
               one.rows == two.rows && one.operators == two.operators && one.loss == two.loss});
        }
  return out;
}

}  // namespace meshplan::test
