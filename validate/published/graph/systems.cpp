// SPDX-License-Identifier: Apache-2.0
#include "validate/published/graph/systems.hpp"

#include <algorithm>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::graph {

const std::vector<SystemConstant>& system_constants() {
  static const std::vector<SystemConstant> all = {
      {"step_ms", 1e-3, &System::step_s, 0, 32},
      {"edge_us", 1e-6, &System::edge_s, 0, 2},
      {"row_gb_per_s", 1e9, &System::row_bytes_per_s, 0.2, 5},
  };
  return all;
}

Result<Systems> load_systems() {
  MESHPLAN_TRY(MapReader file,
               MapReader::open(data_root() + "/validate/published/graph/systems.yaml"));
  file.text("source");
  Systems out;
  for (MapReader& one : file.maps("models")) {
    ModelWords model;
    model.contains = one.text("contains");
    const std::string op = one.text("operator");
    model.expressible = !op.empty();
    if (model.expressible) {
      MESHPLAN_TRY(model.op, operator_from(op, "systems.yaml: operator"));
      MESHPLAN_TRY(model.comparator,
                   comparator_from(one.text("comparator"), "systems.yaml: comparator"));
    }
    MESHPLAN_CHECK(one.finish());
    out.models.push_back(model);
  }
  for (MapReader& one : file.maps("machines")) {
    out.machines.push_back({one.text("contains"), one.text("gpu")});
    MESHPLAN_CHECK(one.finish());
  }
  for (MapReader& one : file.maps("systems")) {
    System system;
    system.contains = one.text("contains");
    system.sides = static_cast<int>(one.integer("sides"));
    system.full_adagrad = one.boolean("full_adagrad");
    system.chunks = one.integer("chunks");
    system.passes = one.positive("passes");
    system.step_s = one.number("step_ms") * 1e-3;
    system.edge_s = one.number("edge_us") * 1e-6;
    system.row_bytes_per_s = one.positive("row_gb_per_s") * 1e9;
    system.workers_share = one.boolean("workers_share");
    system.pipelined = one.boolean("pipelined");
    system.hides_storage = one.boolean("hides_storage");
    system.fitted_on = one.text("fitted_on");
    std::vector<std::string> keys;
    for (const SystemConstant& constant : system_constants()) keys.push_back(constant.key);
    system.fitted = one.texts("fitted");
    for (const std::string& key : system.fitted)
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        return Diagnostic{.kind = ErrorKind::input,
                          .message = "no constant of a system",
                          .where = "systems.yaml: fitted",
                          .value = key,
                          .hint = suggest(key, keys)};
    MESHPLAN_CHECK(one.finish());
    out.systems.push_back(system);
  }
  for (MapReader& one : file.maps("training_edges")) {
    out.training_edges.emplace_back(one.text("dataset"), one.integer("edges"));
    MESHPLAN_CHECK(one.finish());
  }
  for (MapReader& one : file.maps("facts")) {
    out.facts.push_back({one.text("source"), one.text("dataset"),
                         one.number("storage_gb_per_s", 0) * 1e9, one.integer("partitions", 0),
                         one.integer("batch", 0), one.integer("negatives", 0)});
    one.text("why");
    MESHPLAN_CHECK(one.finish());
  }
  MESHPLAN_CHECK(file.finish());
  return out;
}

}  // namespace meshplan::graph
