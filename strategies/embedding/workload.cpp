// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/workload.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::graph {
namespace {

/// Paths in a workload file are relative to it.
std::string beside(const std::string& file, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  return (std::filesystem::path(file).parent_path() / path).string();
}

Status read_entities(MapReader& top, const std::string& file, Workload& w) {
  MapReader all = top.map("entities");
  for (const std::string& name : all.keys()) {
    MapReader one = all.map(name);
    EntityType type;
    type.name = name;
    type.count = one.integer("count", 0);
    type.partitions = one.integer("partitions", 0);
    type.names_file = beside(file, one.text("names", ""));
    type.features = one.integer("features", 0);
    type.features_file = beside(file, one.text("features_file", ""));
    if (type.count < 0) one.problem("count", "a count of entities is not negative");
    if (type.partitions < 0) one.problem("partitions", "a number of partitions is 1 or more");
    MESHPLAN_CHECK(one.finish());
    w.entities.push_back(std::move(type));
  }
  if (w.entities.empty())
    top.problem("entities", "at least one entity type is needed", "entities: {all: {count: 1000}}");
  return all.finish();
}

Status read_relations(MapReader& top, Workload& w) {
  std::vector<std::string> types;
  for (const EntityType& type : w.entities) types.push_back(type.name);
  for (MapReader& one : top.maps("relations")) {
    RelationType relation;
    relation.name = one.text("name");
    const auto index = [&](const char* key) {
      const std::string text = one.choice(key, types);
      for (size_t i = 0; i < types.size(); ++i)
        if (types[i] == text) return static_cast<int>(i);
      return 0;
    };
    relation.lhs = index("lhs");
    relation.rhs = index("rhs");
    const std::string op = one.choice(
        "operator", {"none", "diagonal", "translation", "complex_diagonal", "linear", "affine"},
        "none");
    relation.weight = one.number("weight", 1);
    MESHPLAN_CHECK(one.finish());
    MESHPLAN_TRY(relation.op, operator_from(op, "relations"));
    w.relations.push_back(std::move(relation));
  }
  if (w.relations.empty()) top.problem("relations", "at least one relation is needed");
  return Done{};
}

Status read_data(MapReader& top, const std::string& file, Workload& w) {
  if (!top.has("data")) return Done{};
  MapReader data = top.map("data");
  const auto files = [&](const char* key) {
    std::vector<std::string> paths;
    for (const std::string& path : data.texts(key)) paths.push_back(beside(file, path));
    return paths;
  };
  w.data.train = files("train");
  w.data.valid = files("valid");
  w.data.test = files("test");
  for (const std::vector<std::string>* each : {&w.data.train, &w.data.valid, &w.data.test})
    for (const std::string& path : *each)
      if (path.ends_with(".parquet"))
        return Diagnostic{.kind = ErrorKind::missing,
                          .message = "Parquet is not read: Debian has no library for it",
                          .where = path,
                          .hint = "TSV or CSV, for instance by pyarrow or DuckDB"};
  const auto column = [&](const char* key, int fallback) {
    const int64_t value = data.integer(key, fallback);
    if (value < -1 || value > 1000) data.problem(key, "a column is a number from 0");
    return static_cast<int>(value);
  };
  w.data.lhs_column = column("lhs_column", 0);
  w.data.relation_column = column("relation_column", 1);
  w.data.rhs_column = column("rhs_column", 2);
  w.data.weight_column = column("weight_column", -1);
  w.data.separator = data.choice("separator", {"tab", "comma"}, "tab") == "comma" ? ',' : '\t';
  return data.finish();
}

Result<Workload> read_from(MapReader top, const std::string& file) {
  Workload w;
  w.name = top.text("name", std::filesystem::path(file).stem().string());
  MESHPLAN_CHECK(read_entities(top, file, w));
  MESHPLAN_CHECK(read_relations(top, w));
  MESHPLAN_CHECK(read_data(top, file, w));
  w.dynamic_relations = top.boolean("dynamic_relations", false);
  w.dynamic_count = top.integer("dynamic_relation_count", 0);
  w.edges = top.integer("edges", 0);
  w.dimension = top.integer("dimension");
  const std::string comparator =
      top.choice("comparator", {"dot", "cos", "l2", "squared_l2"}, "cos");
  const std::string loss = top.choice("loss", {"ranking", "logistic", "softmax"}, "ranking");
  w.margin = top.number("margin", w.margin);
  w.n3 = top.number("n3", 0);
  w.init_scale = top.positive("init_scale", w.init_scale);
  w.operator_init_scale = top.number("operator_init_scale", 0);
  w.max_norm = top.number("max_norm", 0);
  w.global_embedding = top.boolean("global_embedding", false);
  w.bias = top.boolean("bias", false);
  w.negatives.batch = top.integer("batch_negatives", w.negatives.batch);
  w.negatives.uniform = top.integer("uniform_negatives", w.negatives.uniform);
  const std::string sides = top.choice("corrupt", {"both", "lhs", "rhs"}, "both");
  w.negatives.lhs = sides != "rhs";
  w.negatives.rhs = sides != "lhs";
  w.negatives.other_end = top.boolean("other_end_negative", false);
  w.negatives.mask_answers = top.boolean("mask_answers", false);
  w.batch = top.integer("batch", w.batch);
  w.learning_rate = top.positive("learning_rate", w.learning_rate);
  w.relation_learning_rate = top.number("relation_learning_rate", 0);
  w.epochs = top.integer("epochs", 1);
  w.passes_per_epoch = top.integer("passes_per_epoch", 1);
  for (const char* key : {"schema", "machine", "plan"}) top.ignore(key);  // see plan_file.hpp
  MESHPLAN_CHECK(top.finish());
  MESHPLAN_TRY(w.comparator, comparator_from(comparator, "comparator"));
  MESHPLAN_TRY(w.loss, loss_from(loss, "loss"));
  MESHPLAN_CHECK(check(w, file));
  return w;
}

std::string list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts)
    out += fmt::format("{}\"{}\"", out.size() > 1 ? ", " : "", text);
  return out + "]";
}

}  // namespace

Result<Workload> read_workload(const std::string& path) {
  MESHPLAN_TRY(MapReader top, MapReader::open(path));
  return read_from(std::move(top), path);
}

Result<Workload> parse_workload(const std::string& text, const std::string& name) {
  MESHPLAN_TRY(MapReader top, MapReader::parse(text, name));
  return read_from(std::move(top), name);
}

Status check(const Workload& w, const std::string& where) {
  const auto bad = [&](const std::string& key, const std::string& message, int64_t value,
                       const std::string& hint) {
    return Diagnostic{.kind = ErrorKind::input,
                      .message = message,
                      .where = where + ": " + key,
                      .value = fmt::format("{}", value),
                      .hint = hint};
  };
  if (w.dimension < 1) return bad("dimension", "a dimension is 1 or more", w.dimension, "100");
  if (w.batch < 1) return bad("batch", "a batch has at least one edge", w.batch, "1000");
  if (w.epochs < 0) return bad("epochs", "a number of epochs is not negative", w.epochs, "1");
  if (!(w.operator_init_scale >= 0))
    return bad("operator_init_scale", "a scale is not negative",
               static_cast<int64_t>(w.operator_init_scale), "0: identities");
  if (w.passes_per_epoch < 1) return bad("passes_per_epoch", "at least 1", w.passes_per_epoch, "1");
  if (w.negatives.batch < 0 || w.negatives.uniform < 0)
    return bad("batch_negatives", "numbers of negatives are not negative", w.negatives.batch, "50");
  if (w.negatives.batch + w.negatives.uniform < 2)
    return bad("uniform_negatives", "without negatives nothing is learnt", w.negatives.uniform,
               "50");
  if (w.dynamic_relations && w.relations.size() != 1)
    return bad("relations", "dynamic relations take one relation, the template of all",
               static_cast<int64_t>(w.relations.size()), "leave one, or dynamic_relations: false");
  if (w.dynamic_relations && w.global_embedding)
    return bad("global_embedding", "not together with dynamic relations", 1, "false");
  for (const RelationType& relation : w.relations) {
    if (relation.op == Operator::complex_diagonal && w.dimension % 2 != 0)
      return bad("dimension", "complex_diagonal needs an even dimension", w.dimension,
                 fmt::format("{}", w.dimension + 1));
    if (w.n3 > 0 && (relation.op == Operator::linear || relation.op == Operator::affine))
      return bad("n3", "there is no N3 of linear and affine operators", 1, "n3: 0");
    if (w.bias && w.dimension < 2) return bad("dimension", "a bias takes one more", 1, "2");
    if (w.negatives.other_end && relation.lhs != relation.rhs)
      return bad("other_end_negative", "only an end of the same type can stand in its place", 1,
                 "false");
    for (const int side : {relation.lhs, relation.rhs})
      if (w.entities[static_cast<size_t>(side)].featurized() && w.negatives.uniform > 0)
        return bad("uniform_negatives", "entities with features are negatives of the batch only",
                   w.negatives.uniform, "0");
  }
  int64_t partitions = 1;
  for (const EntityType& type : w.entities) {
    if (type.partitions <= 1) continue;
    if (partitions > 1 && type.partitions != partitions)
      return bad("entities", "partitioned types all have the same number of partitions",
                 type.partitions, fmt::format("{} or 1", partitions));
    partitions = type.partitions;
  }
  return Done{};
}

bool is_workload_file(const std::string& path) {
  if (!path.ends_with(".yaml") && !path.ends_with(".yml")) return false;
  auto top = MapReader::open(path);
  return top.ok() && top->has("entities") && top->has("relations");
}

std::string to_yaml(const Workload& w) {
  std::string out = fmt::format("name: \"{}\"\nentities:\n", w.name);
  for (const EntityType& type : w.entities) {
    out += fmt::format("  \"{}\": {{count: {}, partitions: {}", type.name, type.count,
                       type.partitions);
    if (!type.names_file.empty()) out += fmt::format(", names: \"{}\"", type.names_file);
    if (!type.features_file.empty())
      out += fmt::format(", features_file: \"{}\"", type.features_file);
    if (type.features > 0) out += fmt::format(", features: {}", type.features);
    out += "}\n";
  }
  out += "relations:\n";
  for (const RelationType& relation : w.relations)
    out += fmt::format("  - {{name: \"{}\", lhs: \"{}\", rhs: \"{}\", operator: {}, weight: {}}}\n",
                       relation.name, w.entities[static_cast<size_t>(relation.lhs)].name,
                       w.entities[static_cast<size_t>(relation.rhs)].name, name_of(relation.op),
                       relation.weight);
  out += fmt::format("dynamic_relations: {}\ndynamic_relation_count: {}\nedges: {}\n",
                     w.dynamic_relations, w.dynamic_count, w.edges);
  if (!w.data.train.empty()) {
    const GraphData& d = w.data;
    out += fmt::format("data:\n  train: {}\n  valid: {}\n  test: {}\n", list(d.train),
                       list(d.valid), list(d.test));
    out += fmt::format(
        "  lhs_column: {}\n  relation_column: {}\n  rhs_column: {}\n  weight_column: {}\n"
        "  separator: {}\n",
        d.lhs_column, d.relation_column, d.rhs_column, d.weight_column,
        d.separator == ',' ? "comma" : "tab");
  }
  out += fmt::format(
      "dimension: {}\ncomparator: {}\nloss: {}\nmargin: {}\nn3: {}\ninit_scale: {}\n"
      "operator_init_scale: {}\nmax_norm: {}\nglobal_embedding: {}\nbias: {}\n",
      w.dimension, name_of(w.comparator), name_of(w.loss), w.margin, w.n3, w.init_scale,
      w.operator_init_scale, w.max_norm, w.global_embedding, w.bias);
  const char* sides = w.negatives.lhs ? (w.negatives.rhs ? "both" : "lhs") : "rhs";
  out += fmt::format(
      "batch_negatives: {}\nuniform_negatives: {}\ncorrupt: {}\nother_end_negative: {}\n"
      "mask_answers: {}\nbatch: {}\nlearning_rate: {}\n"
      "relation_learning_rate: {}\nepochs: {}\npasses_per_epoch: {}\n",
      w.negatives.batch, w.negatives.uniform, sides, w.negatives.other_end,
      w.negatives.mask_answers, w.batch, w.learning_rate, w.relation_learning_rate, w.epochs,
      w.passes_per_epoch);
  return out;
}

}  // namespace meshplan::graph
