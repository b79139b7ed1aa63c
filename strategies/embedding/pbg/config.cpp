// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/pbg/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "strategies/launch/format/formats.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::graph {
namespace {

using Value = launch::Json;

/// Keys that say how PBG runs, not what is trained.
const char* const kNoCounterpart[] = {"checkpoint_path",
                                      "init_path",
                                      "checkpoint_preservation_interval",
                                      "max_edges_per_chunk",
                                      "eval_fraction",
                                      "eval_num_batch_negs",
                                      "eval_num_uniform_negs",
                                      "verbose",
                                      "hogwild_delay",
                                      "distributed_init_method",
                                      "distributed_tree_init_order",
                                      "num_gpus",
                                      "num_groups_for_partition_server",
                                      "num_groups_per_sharded_partition_server",
                                      "partition_shard_size",
                                      "half_precision",
                                      "edge_paths"};

/// Typed look-ups of one dictionary; the first bad value is kept.
class Keys {
 public:
  Keys(const Value& values, std::string where) : values_(values), where_(std::move(where)) {}
  double number(const char* key, double fallback) {
    const Value* v = find(key);
    if (v == nullptr) return fallback;
    if (v->is_number()) return v->get<double>();
    return bad(key, "a number is expected"), fallback;
  }
  int64_t integer(const char* key, int64_t fallback) {
    const Value* v = find(key);
    if (v == nullptr) return fallback;
    if (v->is_number_integer()) return v->get<int64_t>();
    return bad(key, "a whole number is expected"), fallback;
  }
  bool boolean(const char* key, bool fallback) {
    const Value* v = find(key);
    if (v == nullptr) return fallback;
    if (v->is_boolean()) return v->get<bool>();
    return bad(key, "True or False is expected"), fallback;
  }
  std::string text(const char* key, const std::string& fallback) {
    const Value* v = find(key);
    if (v == nullptr) return fallback;
    if (v->is_string()) return v->get<std::string>();
    return bad(key, "a text is expected"), fallback;
  }
  const Value* find(const char* key) {
    seen_.emplace_back(key);
    const auto found = values_.find(key);
    return found == values_.end() || found->is_null() ? nullptr : &*found;
  }
  void bad(const std::string& key, const std::string& message) {
    if (!problem_)
      problem_ = Diagnostic{.kind = ErrorKind::input, .message = message, .where = where_ + key};
  }
  Status status() const {
    if (problem_) return *problem_;
    return Done{};
  }
  std::vector<std::string> unseen() const {
    std::vector<std::string> out;
    for (const auto& [key, value] : values_.items())
      if (std::find(seen_.begin(), seen_.end(), key) == seen_.end()) out.push_back(key);
    return out;
  }

 private:
  const Value& values_;
  std::string where_;
  std::vector<std::string> seen_;
  std::optional<Diagnostic> problem_;
};

/// Sum of the counts in the files of all partitions; 0 where one is missing.
int64_t count_in(const std::string& folder, const std::string& type, int64_t partitions) {
  int64_t sum = 0;
  for (int64_t p = 0; p < partitions; ++p) {
    const auto text = read_file(fmt::format("{}/entity_count_{}_{}.txt", folder, type, p));
    int64_t count = 0;
    if (!text.ok() ||
        std::from_chars(text->data(), text->data() + text->size(), count).ec != std::errc())
      return 0;
    sum += count;
  }
  return sum;
}

Status read_entities(const Value& all, const std::string& folder, const std::string& where,
                     PbgConfig& out) {
  for (const auto& [name, values] : all.items()) {
    Keys keys(values, fmt::format("{}entities: {}: ", where, name));
    EntityType type;
    type.name = name;
    const int64_t partitions = keys.integer("num_partitions", 1);
    type.partitions = partitions == 1 && all.size() > 1 ? 1 : 0;
    if (partitions > 1) out.plan.partitions = static_cast<int>(partitions);
    if (keys.boolean("featurized", false))
      keys.bad("featurized", "features stand in a file of a workload: features_file");
    if (keys.integer("dimension", 0) > 0)
      keys.bad("dimension", "all entity types have one dimension here");
    type.count = folder.empty() ? 0 : count_in(folder, name, partitions);
    MESHPLAN_CHECK(keys.status());
    out.workload.entities.push_back(std::move(type));
  }
  return Done{};
}

Status read_relations(const Value& all, const std::string& where, PbgConfig& out) {
  for (const Value& values : all) {
    Keys keys(values, where + "relations: ");
    RelationType relation;
    relation.name = keys.text("name", "all_edges");
    const auto index = [&](const char* key) {
      const std::string name = keys.text(key, "");
      for (size_t t = 0; t < out.workload.entities.size(); ++t)
        if (out.workload.entities[t].name == name) return static_cast<int>(t);
      return keys.bad(key, fmt::format("there is no entity type '{}'", name)), 0;
    };
    relation.lhs = index("lhs");
    relation.rhs = index("rhs");
    MESHPLAN_TRY(relation.op, operator_from(keys.text("operator", "none"), where + "operator"));
    relation.weight = keys.number("weight", 1);
    if (keys.boolean("all_negs", false))
      keys.bad("all_negs", "all entities as negatives are not trained here");
    MESHPLAN_CHECK(keys.status());
    out.workload.relations.push_back(std::move(relation));
  }
  return Done{};
}

void read_plan(Keys& keys, PbgConfig& out) {
  GraphPlan& plan = out.plan;
  plan.ranks = static_cast<int>(keys.integer("num_machines", 1));
  plan.threads = static_cast<int>(keys.integer("workers", 1));
  plan.resident = std::min(2, plan.partitions);
  // Partition servers keep the rows in memory; without them machines share a disk.
  const bool disk = plan.ranks == 1 || keys.integer("num_partition_servers", -1) == 0;
  plan.home = plan.partitions > 1 && disk ? Home::storage : Home::memory;
  plan.prefetch = keys.boolean("background_io", false);
  const std::string order = keys.text("bucket_order", "inside_out");
  if (const auto known = order_from(order, "bucket_order"); known.ok())
    plan.order = known.value();
  else
    out.notes.push_back(fmt::format("bucket_order {}: taken as inside_out", order));
  if (plan.ranks > 1) {
    plan.order = Order::halving;
    out.notes.emplace_back("num_machines: PBG's lock server hands out buckets; halving is static");
  }
}

}  // namespace

Result<PbgConfig> parse_pbg_config(const std::string& text, const std::string& path) {
  MESHPLAN_TRY(const launch::PythonDictionary read,
               launch::read_python_dictionary(text, path, "get_torchbiggraph_config"));
  PbgConfig out;
  out.unread = read.unread;
  const std::string where = path + ": ";
  Keys keys(read.values, where);
  Workload& w = out.workload;
  w.name = std::filesystem::path(path).stem().string();
  const std::string entity_path = keys.text("entity_path", "");
  const auto beside = std::filesystem::path(path).parent_path();
  const std::string folder =
      entity_path.empty() ? "" : (beside / entity_path).lexically_normal().string();
  const Value* entities = keys.find("entities");
  const Value* relations = keys.find("relations");
  if (entities == nullptr || relations == nullptr || !entities->is_object() ||
      !relations->is_array())
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "entities and relations could not be read",
                      .where = path,
                      .value = out.unread.empty() ? "" : out.unread.front(),
                      .hint = "write them as literals"};
  MESHPLAN_CHECK(read_entities(*entities, folder, where, out));
  MESHPLAN_CHECK(read_relations(*relations, where, out));
  w.dimension = keys.integer("dimension", 0);
  w.init_scale = keys.number("init_scale", w.init_scale);
  w.max_norm = keys.number("max_norm", 0);
  w.global_embedding = keys.boolean("global_emb", true);
  MESHPLAN_TRY(w.comparator, comparator_from(keys.text("comparator", "cos"), where + "comparator"));
  w.bias = keys.boolean("bias", false);
  MESHPLAN_TRY(w.loss, loss_from(keys.text("loss_fn", "ranking"), where + "loss_fn"));
  w.margin = keys.number("margin", 0.1);
  w.n3 = keys.number("regularization_coef", 0);
  if (keys.text("regularizer", "N3") != "N3") keys.bad("regularizer", "only N3 is known");
  w.epochs = keys.integer("num_epochs", 1);
  w.passes_per_epoch = keys.integer("num_edge_chunks", 1);
  w.batch = keys.integer("batch_size", 1000);
  w.negatives.batch = keys.integer("num_batch_negs", 50);
  w.negatives.uniform = keys.integer("num_uniform_negs", 50);
  w.negatives.lhs = !keys.boolean("disable_lhs_negs", false);
  w.negatives.rhs = !keys.boolean("disable_rhs_negs", false);
  w.learning_rate = keys.number("lr", 0.01);
  w.relation_learning_rate = keys.number("relation_lr", 0);
  w.dynamic_relations = keys.boolean("dynamic_relations", false);
  read_plan(keys, out);
  MESHPLAN_CHECK(keys.status());
  if (w.dynamic_relations && !folder.empty())
    if (const auto count = read_file(folder + "/dynamic_rel_count.txt"); count.ok())
      std::from_chars(count->data(), count->data() + count->size(), w.dynamic_count);
  for (const std::string& key : keys.unseen()) {
    const bool known = std::find(std::begin(kNoCounterpart), std::end(kNoCounterpart), key) !=
                       std::end(kNoCounterpart);
    out.notes.push_back(fmt::format(
        "{}: {}", key, known ? "has no counterpart, left out" : "is no key of PBG 1.0.1"));
  }
  MESHPLAN_CHECK(check(w, path));
  return out;
}

Result<PbgConfig> read_pbg_config(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  return parse_pbg_config(text, path);
}

}  // namespace meshplan::graph
