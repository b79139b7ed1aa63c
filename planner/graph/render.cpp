// SPDX-License-Identifier: Apache-2.0
#include "planner/graph/render.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/report/estimate.hpp"
#include "planner/report/format.hpp"
#include "planner/report/table.hpp"
#include "validate/embedding/device_batch.hpp"

namespace meshplan::graph {
namespace {

using report::Align;
using report::gib;
using report::grouped;
using report::Json;
using report::percent;
using report::seconds;
using report::Table;

constexpr int kMemoryColumn = 52;

double usd_of(const GraphReport& r, const EpochEstimate& e) {
  return e.epoch_s / 3600 * e.plan.ranks * r.usd_per_device_hour;
}

std::string brief_with_type(const EpochEstimate& e) {
  return fmt::format("{}, {}", brief(e.plan), name_of(e.plan.compute));
}

std::string question_text(const GraphReport& r) {
  const Workload& w = r.question.workload;
  std::string out =
      fmt::format("{}: {} rows of {} values ({}), {} edges, {}\n", w.name, grouped(w.entity_rows()),
                  w.dimension, gib(static_cast<double>(w.entity_rows() * w.bytes_per_row())),
                  grouped(w.edges), report::plural(w.relation_count(), "relation"));
  const Negatives& n = w.negatives;
  out += fmt::format(
      "{} + {} negatives on {}, batches of {} edges, {} an epoch\non {}\n", n.batch, n.uniform,
      n.lhs && n.rhs ? "both sides" : "one side", grouped(w.batch),
      w.passes_per_epoch == 1 ? "one pass" : fmt::format("{} passes", w.passes_per_epoch),
      r.question.machine.name);
  return out;
}

std::string plan_text(const GraphReport& r, const EpochEstimate& e) {
  const Workload& w = r.question.workload;
  std::string out = "plan   " + brief_with_type(e) + '\n';
  out += fmt::format("epoch  {}, {} edges/s; {} of them {}", seconds(e.epoch_s),
                     report::count(e.edges_per_s), w.epochs,
                     seconds(e.epoch_s * static_cast<double>(w.epochs)));
  if (r.usd_per_device_hour > 0)
    out +=
        fmt::format(" and ${}", report::significant(usd_of(r, e) * static_cast<double>(w.epochs)));
  out += '\n';
  const char* device = r.question.machine.is_cpu ? "this computer" : "the fullest GPU";
  if (e.capacity_bytes > 0)
    out += fmt::format("       {} of {} on {}\n", gib(static_cast<double>(e.peak_memory_bytes)),
                       gib(static_cast<double>(e.capacity_bytes)), device);
  else
    out += fmt::format("       {} on {}\n", gib(static_cast<double>(e.peak_memory_bytes)), device);
  if (e.host_memory_bytes > 0)
    out += fmt::format("       {} of {} of host memory a machine\n",
                       gib(static_cast<double>(e.host_memory_bytes)),
                       gib(static_cast<double>(e.host_capacity_bytes)));
  const Traffic& t = e.traffic;
  out +=
      fmt::format("       {}; an epoch moves {} from where rows wait, {} back, {} between ranks\n",
                  report::plural(e.machines, "machine"), gib(static_cast<double>(t.loaded_bytes)),
                  gib(static_cast<double>(t.stored_bytes)), gib(static_cast<double>(t.sent_bytes)));
  const std::vector<std::string> refused = not_on_devices(w, e.plan.compute);
  if (!r.question.machine.is_cpu && !refused.empty())
    out += fmt::format("       priced only: 'meshplan validate run' does not train {} on GPUs\n",
                       fmt::join(refused, ", "));
  Table time({{"time of an epoch", Align::left}, {"", Align::right}, {"", Align::right}});
  for (const Part& part : e.time)
    time.add({part.name, seconds(part.value), percent(part.value / e.epoch_s)});
  time.add({"epoch", seconds(e.epoch_s), percent(1)});
  const auto peak = static_cast<double>(e.peak_memory_bytes);
  Table memory({{"memory of a device", Align::left}, {"", Align::right}, {"", Align::right}});
  for (const Part& part : e.memory)
    memory.add({part.name, gib(part.value), percent(part.value / peak)});
  memory.add({"peak", gib(peak), percent(1)});
  return out + '\n' + report::beside(time.text(), memory.text(0), kMemoryColumn) + "\nlimited by " +
         e.limited_by + '\n';
}

std::string plans_table(const GraphReport& r) {
  Table table({{"", Align::right},
               {"epoch", Align::right},
               {"to 1", Align::right},
               {"edges/s", Align::right},
               {"memory", Align::right},
               {"machines", Align::right},
               {"plan", Align::left}});
  const auto& plans = r.answer.plans;
  for (size_t i = 0; i < plans.size(); ++i) {
    const EpochEstimate& e = plans[i];
    table.add(
        {fmt::format("{}{}", i > 0 && r.answer.tie[i] ? "=" : "", i + 1), seconds(e.epoch_s),
         i == 0 ? "" : fmt::format("{:+.1f} %", 100 * (e.epoch_s / plans.front().epoch_s - 1)),
         report::count(e.edges_per_s), gib(static_cast<double>(e.peak_memory_bytes)),
         grouped(e.machines), brief_with_type(e)});
  }
  return "best plans\n" + table.text() +
         "  = ties with 1: nearer to it than predictions are to reality; the simplest stands "
         "first\n";
}

std::string none_text(const GraphNone& none) {
  if (!none.plan) return "no plan is legal\ntightest   rule " + none.rule + '\n';
  return fmt::format(
      "no plan fits\ntightest   memory: {} a device needed at least, {} there\n"
      "leanest    {}\n",
      gib(static_cast<double>(none.needed_bytes)), gib(static_cast<double>(none.capacity_bytes)),
      brief(*none.plan));
}

Json to_json(const Traffic& t) {
  return {{"partition_loads", t.loads},
          {"loaded_bytes", t.loaded_bytes},
          {"partition_stores", t.stores},
          {"stored_bytes", t.stored_bytes},
          {"partitions_sent", t.sends},
          {"sent_bytes", t.sent_bytes},
          {"synchronised_bytes", t.synchronised_bytes}};
}

Json strategy_of(const GraphPlan& p) {
  return {{"partitions", p.partitions}, {"resident", p.resident},
          {"order", name_of(p.order)},  {"ranks", p.ranks},
          {"threads", p.threads},       {"home", name_of(p.home)},
          {"prefetch", p.prefetch},     {"compute_format", name_of(p.compute)}};
}

Json to_json(const GraphReport& r, const EpochEstimate& e, bool tie) {
  Json time = Json::object(), memory = Json::object();
  for (const Part& part : e.time) time[report::key_of(part.name, "s")] = part.value;
  for (const Part& part : e.memory) memory[report::key_of(part.name, "bytes")] = part.value;
  const auto epochs = static_cast<double>(r.question.workload.epochs);
  return {{"strategy", strategy_of(e.plan)},
          {"machines", e.machines},
          {"epoch_time_s", e.epoch_s},
          {"training_time_s", e.epoch_s * epochs},
          {"edges_per_s", e.edges_per_s},
          {"usd_per_epoch", usd_of(r, e)},
          {"peak_memory_bytes", e.peak_memory_bytes},
          {"capacity_bytes", e.capacity_bytes},
          {"host_memory_bytes", e.host_memory_bytes},
          {"fits", e.fits},
          {"time", std::move(time)},
          {"memory", std::move(memory)},
          {"traffic", to_json(e.traffic)},
          {"limited_by", e.limited_by},
          {"tie", tie}};
}

}  // namespace

std::string to_text(const GraphReport& r) {
  std::string out = question_text(r) + '\n';
  const auto& plans = r.answer.plans;
  if (plans.empty()) {
    if (r.answer.none) out += none_text(*r.answer.none);
  } else {
    out += plan_text(r, plans.front()) + '\n';
    if (plans.size() > 1) out += plans_table(r) + '\n';
  }
  const Funnel& f = r.answer.funnel;
  int64_t refused = 0;
  for (const auto& [rule, n] : f.refused) refused += n;
  const std::string funnel = fmt::format(
      "{} plans visited: {} refused by a rule, {} out of memory, {} slower by their lower bound, "
      "{} priced",
      grouped(f.visited), grouped(refused), grouped(f.out_of_memory), grouped(f.bounded),
      grouped(f.priced));
  out += "searched   " + report::wrapped(funnel, 11) + '\n';
  if (r.assumed.empty()) return out;
  out += "assumed\n";
  for (const std::string& line : r.assumed) out += "  - " + report::wrapped(line, 4) + '\n';
  return out;
}

Json to_json(const GraphReport& r) {
  const Workload& w = r.question.workload;
  const Funnel& f = r.answer.funnel;
  Json refused = Json::object(), plans = Json::array();
  for (const auto& [rule, n] : f.refused) refused[rule] = n;
  for (size_t i = 0; i < r.answer.plans.size(); ++i)
    plans.push_back(to_json(r, r.answer.plans[i], r.answer.tie[i]));
  Json out = {{"schema", "meshplan.graph-plan/1"},
              {"run", {{"search_s", r.search_s}}},
              {"inputs",
               {{"workload", w.name},
                {"machine", r.question.machine.name},
                {"devices", r.question.machine.devices},
                {"rows", w.entity_rows()},
                {"table_bytes", w.entity_rows() * w.bytes_per_row()},
                {"edges", w.edges},
                {"relations", w.relation_count()},
                {"dimension", w.dimension},
                {"batch_negatives", w.negatives.batch},
                {"uniform_negatives", w.negatives.uniform},
                {"epochs", w.epochs},
                {"usd_per_device_hour", r.usd_per_device_hour}}},
              {"provenance", {{"source", r.question.machine.source}, {"assumed", r.assumed}}},
              {"funnel",
               {{"visited", f.visited},
                {"refused", std::move(refused)},
                {"out_of_memory", f.out_of_memory},
                {"bounded", f.bounded},
                {"priced", f.priced},
                {"covered", f.covered}}},
              {"plans", std::move(plans)}};
  if (r.answer.none) {
    const GraphNone& none = *r.answer.none;
    out["none"] = {{"rule", none.rule},
                   {"needed_bytes", none.needed_bytes},
                   {"capacity_bytes", none.capacity_bytes}};
    if (none.plan) out["none"]["strategy"] = strategy_of(*none.plan);
  }
  return out;
}

}  // namespace meshplan::graph
