// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "validate/run/run_plan.hpp"

namespace meshplan {
namespace {

using Json = nlohmann::ordered_json;

std::string mib(int64_t bytes) {
  return fmt::format("{:.2f} MiB", static_cast<double>(bytes) / (1 << 20));
}

Json entry_json(const LedgerEntry& entry) {
  return {{"calls", entry.calls}, {"bytes", entry.bytes}};
}

}  // namespace

std::string to_text(const RunAnswer& answer) {
  const bool all = answer.reporting == answer.ranks;
  std::string out = fmt::format("ran {} on {} rank{}\n", answer.plan, answer.ranks,
                                answer.ranks > 1 ? (all ? "s (threads)" : "s (processes)") : "");
  if (answer.device != "CPU") out += fmt::format("  on {}\n", answer.device);
  for (const std::string& what : answer.replaced) out += fmt::format("  {}\n", what);
  for (const std::string& what : answer.skipped) out += fmt::format("  passed over {}\n", what);
  out += "\n  step        loss   gradient norm   seconds\n";
  for (size_t i = 0; i < answer.steps.size(); ++i) {
    const StepResult& step = answer.steps[i];
    out += fmt::format("  {:>4}  {:>10.6f}  {:>14.6f}  {:>8.4f}\n", i, step.loss,
                       step.gradient_norm, step.seconds);
  }
  if (!answer.ledger.empty()) {
    out +=
        "\n  communication of all ranks      calls  predicted             bytes         "
        "predicted\n";
    for (const LedgerLine& line : answer.ledger) {
      out +=
          fmt::format("  {:<16} {:<14} {:>6} {:>10} {:>17} {:>17}{}\n", line.group,
                      name_of(line.transfer), line.counted.calls, line.expected.calls,
                      line.counted.bytes, line.expected.bytes, line.equal() ? "" : "  DIFFERENT");
    }
  }
  if (const Routed& routed = answer.routed; routed.pairs > 0) {
    out += fmt::format(
        "\n  experts: {} tokens routed, {} dropped; of one layer and micro-batch at most {} of a "
        "rank to one expert, room for {}\n",
        routed.pairs, routed.dropped, routed.busiest, routed.rows);
  }
  out += fmt::format("\n  memory of {}: {}, predicted {}{}; laid out in {}\n",
                     all ? "the fullest rank" : "rank 0", mib(answer.peak_bytes),
                     mib(answer.expected_peak_bytes), answer.memory_equal ? "" : "  DIFFERENT",
                     mib(answer.arena_bytes));
  out += fmt::format("  step: {:.4f} s", answer.measured_step_s);
  if (answer.predicted_step_s) {
    out += fmt::format(", predicted {:.4f} s ({:+.1f} %)\n", *answer.predicted_step_s,
                       100 * (*answer.predicted_step_s / answer.measured_step_s - 1));
  } else {
    out += "; no CPU profile was given to predict it (--profile)\n";
  }
  return out;
}

std::string to_json(const RunAnswer& answer) {
  Json steps = Json::array(), ledger = Json::array();
  for (const StepResult& step : answer.steps) {
    steps.push_back({{"loss", step.loss},
                     {"gradient_norm", step.gradient_norm},
                     {"step_time_s", step.seconds},
                     {"cpu_time_s", step.cpu_seconds}});
  }
  for (const LedgerLine& line : answer.ledger) {
    ledger.push_back({{"group", line.group},
                      {"transfer", name_of(line.transfer)},
                      {"counted", entry_json(line.counted)},
                      {"predicted", entry_json(line.expected)},
                      {"equal", line.equal()}});
  }
  Json out = {{"schema", "meshplan.run/1"},
              {"plan", answer.plan},
              {"device", answer.device},
              {"ranks", answer.ranks},
              {"reporting_ranks", answer.reporting},
              {"replaced", answer.replaced},
              {"checkpoints_passed_over", answer.skipped},
              {"steps", std::move(steps)},
              {"ledger", std::move(ledger)},
              {"ledger_equal", answer.ledger_equal()},
              {"peak_memory_bytes", answer.peak_bytes},
              {"predicted_peak_memory_bytes", answer.expected_peak_bytes},
              {"memory_equal", answer.memory_equal},
              {"arena_bytes", answer.arena_bytes},
              {"measured_step_time_s", answer.measured_step_s}};
  if (const Routed& routed = answer.routed; routed.pairs > 0) {
    out["experts"] = {{"routed", routed.pairs},
                      {"dropped", routed.dropped},
                      {"busiest", routed.busiest},
                      {"bound", routed.rows}};
  }
  if (answer.device_bytes > 0) out["device_memory_bytes"] = answer.device_bytes;
  if (answer.predicted_step_s) out["predicted_step_time_s"] = *answer.predicted_step_s;
  return out.dump(2) + "\n";
}

}  // namespace meshplan
