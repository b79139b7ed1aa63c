// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/plan_flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "topologies/base/nearest.hpp"

namespace meshplan::cli {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) out.push_back(word);
  return out;
}

template <class Enum, class From>
Status words(const std::string& text, const char* flag, From from, std::vector<Enum>& out) {
  for (const auto& word : split(text)) {
    auto value = from(word);
    if (!value.ok()) return at(value.error(), flag);
    out.push_back(value.value());
  }
  return Done{};
}

Status on_off(const std::string& text, const char* flag, std::optional<bool>& out) {
  if (text.empty()) return Done{};
  if (text != "on" && text != "off")
    return Diagnostic{
        .kind = ErrorKind::usage, .message = "expected on or off", .where = flag, .value = text};
  out = text == "on";
  return Done{};
}

Status forbid(const std::string& axis, SearchQuestion& q) {
  const std::vector<std::pair<std::string, AxisRange*>> axes = {
      {"tp", &q.tp}, {"pp", &q.pp},   {"vpp", &q.vpp}, {"cp", &q.cp},
      {"ep", &q.ep}, {"etp", &q.etp}, {"dp", &q.dp}};
  const std::vector<std::string> others = {"zero", "recompute", "sp", "hsdp", "offload"};
  std::vector<std::string> known = others;
  for (const auto& [name, range] : axes) {
    known.push_back(name);
    if (axis != name) continue;
    range->values = {1};
    return Done{};
  }
  if (axis == "zero") {
    q.zero.values = {0};
  } else if (axis == "recompute") {
    q.recompute = {Recompute::none};
  } else if (axis == "sp") {
    q.sequence_parallel = false;
  } else if (axis == "offload") {
    q.optimizer_offload = false;
  } else if (axis == "hsdp") {
    q.trainer.hybrid_shard = false;
  } else {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "there is no such axis",
                      .where = "--forbid",
                      .value = axis,
                      .hint = suggest(axis, known)};
  }
  return Done{};
}

}  // namespace

void add_plan_flags(CLI::App& app, PlanFlags& flags, bool ranges) {
  const char* group = ranges ? "Constraints (8, 1..16 or 1,2,4; left open if not given)" : "Plan";
  const auto text = [&](const char* name, std::string& to, const char* about) {
    app.add_option(name, to, about)->group(group);
  };
  text("--tp", flags.tp, "tensor parallelism");
  text("--pp", flags.pp, "pipeline stages");
  text("--vpp", flags.vpp, "model chunks a stage");
  text("--cp", flags.cp, "context parallelism");
  text("--ep", flags.ep, "expert parallelism");
  text("--etp", flags.etp, "tensor parallelism of the experts");
  text("--dp", flags.dp, "data parallelism, shards x copies");
  text("--hsdp", flags.hsdp, "ranks that ZeRO shards over (dp_shard); dp / this are copies");
  text("--zero", flags.zero, "0 nothing, 1 optimizer, 2 + gradients, 3 + parameters sharded");
  text("--micro-batch", flags.micro_batch, "sequences a micro-batch");
  text("--recompute", flags.recompute, "none, selective, full");
  if (!ranges)
    text("--recompute-layers", flags.recompute_layers,
         "layers of each virtual stage that recompute; else all");
  text("--schedule", flags.schedule, "gpipe, 1f1b, interleaved, zb-h1, zb-v, dualpipe");
  if (!ranges)
    text("--schedule-group", flags.schedule_group,
         "interleaved: micro-batches a chunk in turn (N)");
  text("--cp-kind", flags.cp_kind, "all-gather, ring, all-to-all");
  text("--layer-split", flags.layer_split, "layers of each virtual stage, e.g. 15,16,16,15");
  text("--sequence-parallel", flags.sequence_parallel, "on or off");
  text("--reshard", flags.reshard, "ZeRO 3 gathers again for the backward pass: on or off");
  text("--offload-optimizer", flags.offload_optimizer, "states and step on the host: on or off");
  if (ranges)
    app.add_option("--forbid", flags.forbid,
                   "axis not to use: tp, pp, vpp, cp, ep, etp, dp, zero, recompute, sp, hsdp, "
                   "offload")
        ->group(group)
        ->delimiter(',');
  if (!ranges) return;
  // Half of the published peaks lie up to 2.8 % above their prediction: median over the 170 rows
  // that `meshplan validate published validate/published/runs.csv --csv F` gives both for.
  flags.keep_free = "3";
  app.add_option("--keep-free", flags.keep_free,
                 "percent of each GPU's memory that a plan must leave free (3)")
      ->group(group);
}

Result<AxisRange> range_from(const std::string& text, const std::string& flag, int64_t least) {
  AxisRange out;
  const size_t dots = text.find("..");
  if (dots != std::string::npos) {
    const std::string first = text.substr(0, dots), last = text.substr(dots + 2);
    out.first = least;
    if (!first.empty()) {
      MESHPLAN_TRY(out.first, whole_number(first, flag, least));
    }
    if (!last.empty()) {
      MESHPLAN_TRY(out.last, whole_number(last, flag, least));
    }
    if (out.last != 0 && out.last < out.first)
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "the range ends before it begins",
                        .where = flag,
                        .value = text,
                        .hint = fmt::format("{}..{}", out.last, out.first)};
    return out;
  }
  for (const auto& word : split(text)) {
    MESHPLAN_TRY(const int64_t value, whole_number(word, flag, least));
    out.values.push_back(value);
  }
  std::sort(out.values.begin(), out.values.end());
  return out;
}

Result<SearchQuestion> search_question(const report::Question& question, const PlanFlags& flags) {
  SearchQuestion q;
  q.model = question.model;
  q.cluster = question.cluster;
  q.batch = question.batch;
  q.trainer = question.trainer;
  q.compute = question.compute;
  struct Axis {
    const char* flag;
    const std::string& text;
    AxisRange& range;
    int64_t least;
  };
  const Axis axes[] = {
      {"--tp", flags.tp, q.tp, 1},       {"--pp", flags.pp, q.pp, 1},
      {"--vpp", flags.vpp, q.vpp, 1},    {"--cp", flags.cp, q.cp, 1},
      {"--ep", flags.ep, q.ep, 1},       {"--etp", flags.etp, q.etp, 1},
      {"--dp", flags.dp, q.dp, 1},       {"--hsdp", flags.hsdp, q.dp_shard, 1},
      {"--zero", flags.zero, q.zero, 0}, {"--micro-batch", flags.micro_batch, q.micro_batch, 1}};
  for (const Axis& axis : axes) {
    if (axis.text.empty()) continue;
    MESHPLAN_TRY(axis.range, range_from(axis.text, axis.flag, axis.least));
  }
  for (const int64_t level : q.zero.values)
    if (level > 3)
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "ZeRO levels are 0, 1, 2 and 3",
                        .where = "--zero",
                        .value = flags.zero,
                        .hint = "3"};
  MESHPLAN_CHECK(words(flags.recompute, "--recompute", recompute_from, q.recompute));
  MESHPLAN_CHECK(words(flags.schedule, "--schedule", schedule_from, q.schedules));
  MESHPLAN_CHECK(words(flags.cp_kind, "--cp-kind", context_parallel_from, q.cp_kinds));
  MESHPLAN_CHECK(on_off(flags.sequence_parallel, "--sequence-parallel", q.sequence_parallel));
  MESHPLAN_CHECK(on_off(flags.reshard, "--reshard", q.reshard_after_forward));
  MESHPLAN_CHECK(on_off(flags.offload_optimizer, "--offload-optimizer", q.optimizer_offload));
  for (const auto& word : split(flags.layer_split)) {
    MESHPLAN_TRY(const int64_t layers, whole_number(word, "--layer-split", 0));
    q.layer_split.push_back(static_cast<int>(layers));
  }
  for (const auto& axis : flags.forbid) MESHPLAN_CHECK(forbid(axis, q));
  if (flags.keep_free.empty()) return q;
  MESHPLAN_TRY(const int64_t percent, whole_number(flags.keep_free, "--keep-free", 0));
  if (percent >= 100)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "leaves no memory for a plan",
                      .where = "--keep-free",
                      .value = flags.keep_free,
                      .hint = "0 to 99, e.g. 10"};
  q.keep_free_percent = static_cast<int>(percent);
  return q;
}

}  // namespace meshplan::cli
