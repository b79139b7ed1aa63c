// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "validate/emulate/emulate.hpp"

namespace meshplan {
namespace {
using Json = nlohmann::ordered_json;
}

std::string to_text(const EmulateAnswer& answer) {
  const RunAnswer& run = answer.run;
  std::string out = fmt::format(
      "rank {} of {} (stage {}, tp {}, cp {}, data {}) alone on {}\n  {}\n", answer.predicted.rank,
      run.ranks, answer.predicted.place.stage, answer.predicted.place.tp, answer.predicted.place.cp,
      answer.predicted.place.data, run.device, run.plan);
  for (const std::string& what : run.replaced) out += fmt::format("  {}\n", what);
  out += fmt::format(
      "\n  measured: operations of a step        {:.4f} s, predicted {:.4f} s ({:+.1f} %), {}\n",
      answer.measured_compute_s, answer.predicted.compute_s,
      100 * (answer.predicted.compute_s / answer.measured_compute_s - 1),
      answer.predicted.compute_from);
  out += fmt::format(
      "  measured: memory of the buffers       {} bytes, predicted {}{}; laid out in {}\n",
      run.peak_bytes, run.expected_peak_bytes, run.memory_equal ? "" : "  DIFFERENT",
      run.arena_bytes);
  out += fmt::format("  modelled: communication of a step     {:.4f} s, one call after the other\n",
                     answer.modelled_communication_s);
  for (const ModelledCalls& call : answer.calls) {
    out += fmt::format("    {:<16} {:<14} {:>7} calls {:>16} bytes {:>9.4f} s\n", call.group,
                       name_of(call.transfer), call.calls, call.bytes, call.seconds);
  }
  out += answer.measured_with_stand_ins_s > 0
             ? fmt::format("  both: step with stand-ins that take the modelled time {:.4f} s\n",
                           answer.measured_with_stand_ins_s)
             : "  no step with stand-ins: on a CPU they take no time\n";
  out +=
      "  left out: waiting for other stages and for slower ranks; what other ranks would have sent "
      "is made up, so losses mean nothing\n";
  return out;
}

std::string to_text(const RankPrediction& p) {
  return fmt::format(
      "rank {} (stage {}, tp {}, cp {}, data {}) of {}\n"
      "  predicted: operations of a step {:.4f} s, {}; memory of the buffers {} bytes; "
      "nothing was run\n",
      p.rank, p.place.stage, p.place.tp, p.place.cp, p.place.data, p.plan, p.compute_s,
      p.compute_from, p.peak_bytes);
}

std::string to_json(const RankPrediction& p) {
  const Json out = {{"schema", "meshplan.rank-prediction/1"},
                    {"plan", p.plan},
                    {"rank", p.rank},
                    {"stage", p.place.stage},
                    {"predicted",
                     {{"compute_s", p.compute_s},
                      {"compute_from", p.compute_from},
                      {"peak_memory_bytes", p.peak_bytes}}}};
  return out.dump(2) + "\n";
}

std::string to_json(const EmulateAnswer& answer) {
  const RunAnswer& run = answer.run;
  Json calls = Json::array();
  for (const ModelledCalls& call : answer.calls) {
    calls.push_back({{"group", call.group},
                     {"transfer", name_of(call.transfer)},
                     {"calls", call.calls},
                     {"bytes", call.bytes},
                     {"predicted_s", call.seconds}});
  }
  Json out = {
      {"schema", "meshplan.emulate/1"},
      {"plan", run.plan},
      {"ranks", run.ranks},
      {"rank", answer.predicted.rank},
      {"stage", answer.predicted.place.stage},
      {"device", run.device},
      {"replaced", run.replaced},
      {"measured",
       {{"compute_s", answer.measured_compute_s},
        {"peak_memory_bytes", run.peak_bytes},
        {"arena_bytes", run.arena_bytes}}},
      {"predicted",
       {{"compute_s", answer.predicted.compute_s},
        {"compute_from", answer.predicted.compute_from},
        {"peak_memory_bytes", run.expected_peak_bytes}}},
      {"modelled", {{"communication_s", answer.modelled_communication_s}, {"calls", calls}}},
      {"ledger_equal", run.ledger_equal()},
      {"memory_equal", run.memory_equal},
      {"left_out", {"waiting for other stages", "waiting for slower ranks"}}};
  if (answer.measured_with_stand_ins_s > 0) {
    out["measured"]["with_stand_ins_s"] = answer.measured_with_stand_ins_s;
  }
  return out.dump(2) + "\n";
}

}  // namespace meshplan
