// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "planner/report/estimate.hpp"
#include "planner/report/format.hpp"
#include "planner/report/table.hpp"
#include "strategies/program/op.hpp"
#include "validate/run/run_plan.hpp"

namespace meshplan::report {
namespace {

constexpr int kMemoryColumn = 52;

std::string time_table(const StepEstimate& e) {
  Table table({{"time of one step", Align::left}, {"", Align::right}, {"", Align::right}});
  for (const Part& part : e.time)
    table.add({part.name, seconds(part.value), percent(part.value / e.step_s)});
  table.add({"step", seconds(e.step_s), percent(1)});
  return table.text();
}

std::string memory_table(const StepEstimate& e) {
  const std::string where = e.plan.pp > 1
                                ? fmt::format("memory, stage {} of {}", e.peak_stage + 1, e.plan.pp)
                                : std::string("memory of a GPU");
  const auto peak = static_cast<double>(e.peak_memory_bytes);
  Table table({{where, Align::left}, {"", Align::right}, {"", Align::right}});
  for (const Part& part : e.memory)
    table.add({part.name, gib(part.value), percent(part.value / peak)});
  table.add({"peak", gib(peak), percent(1)});
  const auto free = static_cast<double>(e.capacity_bytes) - peak;
  table.add({free >= 0 ? "free of " + gib(static_cast<double>(e.capacity_bytes))
                       : "over " + gib(static_cast<double>(e.capacity_bytes)),
             gib(std::abs(free)), ""});
  return table.text(0);
}

std::string bullets(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string out = std::string(title) + '\n';
  std::set<std::string> seen;
  for (const auto& line : lines)
    if (seen.insert(line).second) out += "  - " + wrapped(line, 4) + '\n';
  return out;
}

}  // namespace

std::string brief(const Plan& p) {
  std::string out;
  const auto degree = [&](const char* name, int64_t value, int64_t off = 1) {
    if (value != off) out += fmt::format("{}{}{}", out.empty() ? "" : " ", name, value);
  };
  degree("tp", p.tp);
  if (p.tp > 1 && !p.sequence_parallel) out += " no-sp";
  degree("pp", p.pp);
  if (p.pp > 1) {
    degree("vpp", p.vpp);
    const std::string usual = p.vpp > 1 ? "interleaved" : "1f1b";
    if (usual != name_of(p.schedule)) out += fmt::format(" {}", name_of(p.schedule));
    if (p.schedule_group > 0) out += fmt::format(" N{}", p.schedule_group);
  }
  degree("cp", p.cp);
  if (p.cp > 1) out += fmt::format(" {}", to_text(p.cp_kind));
  degree("ep", p.ep);
  degree("etp", p.etp);
  degree("dp", p.dp());
  if (p.dp() > 1) {
    out += fmt::format(" zero{}", p.zero);
    if (p.zero > 0 && p.dp_replicate > 1) out += fmt::format(" shard{}", p.dp_shard);
    if (p.zero == 3 && !p.reshard_after_forward) out += " kept";
  }
  out += fmt::format("{}mb{}", out.empty() ? "" : " ", p.micro_batch);
  if (p.recompute == Recompute::full)
    out += p.recompute_layers < 0 ? " recompute full"
                                  : fmt::format(" recompute {} layers", p.recompute_layers);
  if (p.recompute == Recompute::selective) {
    out += fmt::format(" recompute {}", modules_text(p.recompute_modules));
    if (p.recompute_layers >= 0) out += fmt::format(" in {} layers", p.recompute_layers);
  }
  if (p.optimizer_offload) out += " offload";
  return out;
}

std::vector<std::string> not_run(const StepEstimate& e, const Question& q) {
  return priced_only(q.model, e.plan, e.batch, q.trainer);
}

std::string not_run_text(const StepEstimate& e, const Question& q, int indent) {
  const std::vector<std::string> reasons = not_run(e, q);
  if (reasons.empty()) return "";
  return std::string(static_cast<size_t>(indent), ' ') +
         wrapped(fmt::format("priced only: 'meshplan validate run' does not execute {}",
                             fmt::join(reasons, "; ")),
                 indent) +
         '\n';
}

const char* verdict(const StepEstimate& e) {
  if (!e.fits) return "does NOT fit";
  return e.peak_high_bytes > e.capacity_bytes ? "fits, the upper end does not" : "fits";
}

std::string to_text(const StepEstimate& e, const Question& q) {
  const Plan& p = e.plan;
  std::string band;
  if (e.step_low_s < e.step_high_s)
    band = fmt::format(" ({} to {})", seconds(e.step_low_s), seconds(e.step_high_s));
  std::string out = "plan  " + brief(p) + '\n';
  out += fmt::format("step  {}{}, {} TFLOP/s per GPU, MFU {}, {} tokens/s per GPU\n",
                     seconds(e.step_s), band, significant(e.tflops_per_gpu), percent(e.mfu),
                     significant(e.tokens_per_s_per_gpu));
  const auto bytes = [](int64_t count) { return gib(static_cast<double>(count)); };
  out += "      " +
         wrapped(fmt::format("{} ({} to {}) of {} on the fullest GPU: {}",
                             bytes(e.peak_memory_bytes), bytes(e.peak_low_bytes),
                             bytes(e.peak_high_bytes), bytes(e.capacity_bytes), verdict(e)),
                 6) +
         '\n';
  if (e.host_memory_bytes > 0)
    out += fmt::format("      {} of {} of a GPU's share of host memory\n",
                       bytes(e.host_memory_bytes), bytes(e.host_capacity_bytes));
  std::string degrees = fmt::format("{} = tp {} x cp {} x pp {} x dp {}", plural(p.world(), "GPU"),
                                    p.tp, p.cp, p.pp, p.dp());
  if (p.dp_replicate > 1 && p.zero > 0)
    degrees += fmt::format(" ({} shards x {} copies)", p.dp_shard, p.dp_replicate);
  degrees += fmt::format("; {} = dp {} x {} x {}", plural(e.batch.global_sequences, "sequence"),
                         p.dp(), plural(e.batch.micro_batches(p), "micro-batch"), p.micro_batch);
  out += "      " + wrapped(degrees, 6) + '\n';
  out += fmt::format("      rank order {}, innermost first\n", q.trainer.rank_order);
  out += not_run_text(e, q, 6);
  out += '\n';
  out += beside(time_table(e), memory_table(e), kMemoryColumn);
  if (!e.limited_by.empty()) out += "\nlimited by " + e.limited_by + '\n';
  return out;
}

std::string caveats(const StepEstimate& e) {
  return bullets("assumed", e.assumptions) + bullets("not modelled", e.not_modelled);
}

}  // namespace meshplan::report
