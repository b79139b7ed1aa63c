// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/pbg/write.hpp"

#include <fmt/format.h>

namespace meshplan::graph {
namespace {

const char* boolean(bool value) { return value ? "True" : "False"; }

Status check_for_pbg(const Workload& w, const GraphPlan& plan) {
  const auto refuse = [](const char* rule, std::string message, const char* where, int64_t value,
                         std::string hint) {
    return Diagnostic{ErrorKind::no_plan,
                      std::move(message),
                      where,
                      fmt::format("{}", value),
                      fmt::format("{} (pbg)", rule),
                      std::move(hint)};
  };
  MESHPLAN_CHECK(check_plan(w, plan));
  const int64_t negatives = w.negatives.batch;
  if (negatives > 0 && w.batch % negatives != 0)
    return refuse("batch-by-negatives", "a batch is cut into chunks that share their negatives",
                  "batch", w.batch, fmt::format("{}", (w.batch / negatives + 1) * negatives));
  for (const EntityType& type : w.entities)
    if (type.featurized())
      return refuse("no-features", "features are read from PBG's own files, which are not written",
                    "entities", type.features, "train it with meshplan validate run");
  return Done{};
}

/// PBG's bucket orders; more machines get their buckets from its lock server.
std::string order_of(const GraphPlan& plan) {
  return plan.order == Order::affinity ? "affinity" : "inside_out";
}

std::vector<PbgLoss> losses_of(const Workload& w, const GraphPlan& plan) {
  std::vector<PbgLoss> out;
  if (plan.ranks > 1)
    out.push_back({"order of buckets", name_of(plan.order), "as its lock server hands them out"});
  else if (order_of(plan) != name_of(plan.order))
    out.push_back({"order of buckets", name_of(plan.order), order_of(plan)});
  if (plan.partitions > 1 && plan.resident != 2)
    out.push_back({"partitions in memory", fmt::format("{}", plan.resident), "2"});
  if (plan.compute != DType::fp32)
    out.push_back({"format of products", name_of(plan.compute), "fp32"});
  if (w.negatives.other_end) out.push_back({"other end as a negative", "yes", "no"});
  if (w.operator_init_scale > 0)
    out.push_back({"operators begin as", "normal deviates", "identities"});
  if (w.negatives.mask_answers) out.push_back({"right answers among negatives", "left out", "in"});
  return out;
}

}  // namespace

Result<PbgFiles> write_pbg(const Workload& w, const GraphPlan& plan) {
  MESHPLAN_CHECK(check_for_pbg(w, plan));
  PbgFiles out;
  out.losses = losses_of(w, plan);
  std::string& c = out.config;
  c = fmt::format(
      "# A plan of meshplan for PyTorch-BigGraph: {}\n"
      "def get_torchbiggraph_config():\n    return dict(\n"
      "        entity_path=\"data/entities\",  # written by torchbiggraph_import_from_tsv\n"
      "        edge_paths=[\"data/edges\"],\n        checkpoint_path=\"model\",\n"
      "        entities={{\n",
      brief(plan));
  const std::vector<int64_t> partitions = partitions_by_type(w, plan.partitions);
  for (size_t t = 0; t < w.entities.size(); ++t)
    c += fmt::format("            \"{}\": {{\"num_partitions\": {}}},\n", w.entities[t].name,
                     partitions[t]);
  c += "        },\n        relations=[\n";
  for (const RelationType& r : w.relations)
    c += fmt::format(
        "            {{\"name\": \"{}\", \"lhs\": \"{}\", \"rhs\": \"{}\", \"operator\": \"{}\", "
        "\"weight\": {}}},\n",
        r.name, w.entities[static_cast<size_t>(r.lhs)].name,
        w.entities[static_cast<size_t>(r.rhs)].name, name_of(r.op), r.weight);
  c += "        ],\n";
  const auto say = [&](const char* key, const auto& value) {
    c += fmt::format("        {}={},\n", key, value);
  };
  const auto quoted = [](const char* text) { return fmt::format("\"{}\"", text); };
  say("dynamic_relations", boolean(w.dynamic_relations));
  say("dimension", w.dimension);
  say("init_scale", w.init_scale);
  say("max_norm", w.max_norm > 0 ? fmt::format("{}", w.max_norm) : "None");
  say("global_emb", boolean(w.global_embedding));
  say("comparator", quoted(name_of(w.comparator)));
  say("bias", boolean(w.bias));
  say("loss_fn", quoted(name_of(w.loss)));
  say("margin", w.margin);
  if (w.n3 > 0) c += fmt::format("        regularization_coef={},  # since 1.0.1\n", w.n3);
  say("num_epochs", w.epochs);
  say("num_edge_chunks", w.passes_per_epoch);
  say("batch_size", w.batch);
  say("num_batch_negs", w.negatives.batch);
  say("num_uniform_negs", w.negatives.uniform);
  say("disable_lhs_negs", boolean(!w.negatives.lhs));
  say("disable_rhs_negs", boolean(!w.negatives.rhs));
  say("lr", w.learning_rate);
  if (w.relation_learning_rate > 0) say("relation_lr", w.relation_learning_rate);
  say("bucket_order", quoted(order_of(plan).c_str()));
  say("background_io", boolean(plan.prefetch));
  say("workers", plan.threads);
  if (plan.ranks > 1) {
    say("num_machines", plan.ranks);
    say("num_partition_servers", plan.home == Home::storage ? 0 : -1);  // 0: a shared disk
    c += "        distributed_init_method=\"tcp://FIRST_MACHINE:30050\",  # its name\n";
  }
  c += "    )\n";
  out.start = fmt::format(
      "#!/usr/bin/env bash\n# Trains; on each of {} machines with its number, 0 to {}: "
      "./train.sh NUMBER\nset -euo pipefail\ncd \"$(dirname \"${{BASH_SOURCE[0]}}\")\"\n"
      "exec torchbiggraph_train --rank \"${{1:-0}}\" config.py\n",
      plan.ranks, plan.ranks - 1);
  return out;
}

}  // namespace meshplan::graph
