// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/plan_file.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::graph {
namespace {

constexpr const char* kSchema = "meshplan.graph-plan-file/1";

/// The value of `all` that is called `key`'s text.
template <class Value, size_t N>
Value named(MapReader& reader, const char* key, const Value (&all)[N], Value otherwise) {
  std::vector<std::string> names;
  for (const Value value : all) names.emplace_back(name_of(value));
  const std::string text = reader.choice(key, names, name_of(otherwise));
  for (const Value value : all)
    if (text == name_of(value)) return value;
  return otherwise;
}

GraphPlan read_plan(MapReader& reader) {
  constexpr Order kOrders[] = {Order::inside_out, Order::affinity, Order::beta, Order::cover,
                               Order::halving};
  constexpr Home kHomes[] = {Home::memory, Home::host, Home::storage};
  constexpr DType kFormats[] = {DType::fp32, DType::tf32, DType::bf16};
  GraphPlan plan;
  const auto count = [&](const char* key, int otherwise) {
    const int64_t value = reader.integer(key, otherwise);
    if (value < 1) reader.problem(key, "a number of 1 or more");
    return static_cast<int>(value);
  };
  plan.partitions = count("partitions", 1);
  plan.resident = count("resident", plan.partitions);
  plan.ranks = count("ranks", 1);
  plan.threads = count("threads", 1);
  plan.order = named(reader, "order", kOrders, Order::beta);
  plan.home = named(reader, "home", kHomes, Home::memory);
  plan.compute = named(reader, "compute_format", kFormats, DType::fp32);
  plan.prefetch = reader.boolean("prefetch", true);
  return plan;
}

Result<PlannedWorkload> read_from(MapReader top, const std::string& text, const std::string& path) {
  PlannedWorkload out;
  MESHPLAN_TRY(out.workload, parse_workload(text, path));
  if (!top.has("plan")) return out;
  top.choice("schema", {kSchema}, kSchema);
  out.machine = top.text("machine", "");
  MapReader plan = top.map("plan");
  out.plan = read_plan(plan);
  MESHPLAN_CHECK(plan.finish());
  MESHPLAN_CHECK(check_plan(out.workload, *out.plan));
  return out;
}

void make_absolute(std::string& path) {
  if (!path.empty()) path = std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

Result<PlannedWorkload> parse_planned(const std::string& text, const std::string& name) {
  MESHPLAN_TRY(MapReader top, MapReader::parse(text, name));
  return read_from(std::move(top), text, name);
}

Result<PlannedWorkload> read_planned(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  return parse_planned(text, path);
}

std::string to_yaml(const PlannedWorkload& planned) {
  Workload w = planned.workload;
  for (std::vector<std::string>* files : {&w.data.train, &w.data.valid, &w.data.test})
    for (std::string& file : *files) make_absolute(file);
  for (EntityType& type : w.entities) {
    make_absolute(type.names_file);
    make_absolute(type.features_file);
  }
  std::string out = fmt::format("schema: {}\n", kSchema) + to_yaml(w);
  if (!planned.plan) return out;
  const GraphPlan& p = *planned.plan;
  return out + fmt::format(
                   "machine: \"{}\"\nplan:\n  partitions: {}\n  resident: {}\n  order: {}\n"
                   "  ranks: {}\n  threads: {}\n  home: {}\n  prefetch: {}\n  compute_format: {}\n",
                   planned.machine, p.partitions, p.resident, name_of(p.order), p.ranks, p.threads,
                   name_of(p.home), p.prefetch, name_of(p.compute));
}

}  // namespace meshplan::graph
