// SPDX-License-Identifier: Apache-2.0
// meshplan simulate: how long does a step of exactly this plan take, and does it fit?
#include <fmt/format.h>

#include "planner/cli/inputs.hpp"
#include "planner/cli/open_knobs.hpp"
#include "planner/cli/outputs.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/estimate.hpp"
#include "planner/report/format.hpp"

namespace meshplan::cli {
namespace {

using report::Json;

std::string text_of(const OpenKnobs& open) {
  if (open.left_open.empty()) return "";
  std::string text = fmt::format("{}; taken: the fastest that fits of {} alternatives",
                                 open.left_open, report::grouped(open.alternatives));
  if (open.refused > 0) text += fmt::format(", {} more refused by rules", open.refused);
  if (open.fitting > 0)
    text += fmt::format("; {} fit, {} to {} a step, median {}", open.fitting,
                        report::seconds(open.fastest_s), report::seconds(open.slowest_s),
                        report::seconds(open.median_s));
  else
    text += "; none fits, so the one that needs least memory";
  return "left open   " + report::wrapped(text, 12) + '\n';
}

Json json_of(const OpenKnobs& open) {
  Json out = {{"left_open", open.left_open},
              {"rule", "fastest that fits; else least memory"},
              {"alternatives", open.alternatives},
              {"refused", open.refused},
              {"fitting", open.fitting}};
  if (open.fitting > 0) {
    out["fastest_s"] = open.fastest_s;
    out["median_s"] = open.median_s;
    out["slowest_s"] = open.slowest_s;
  }
  return out;
}

}  // namespace

int run_simulate(const Arguments& arguments) {
  CLI::App app(
      "Step time, memory and timeline of one plan. Degrees not given are 1, dp is what is left;\n"
      "of the other knobs left open, the fastest choice that fits is taken and said.\n\n"
      "  meshplan simulate llama3-70b 64x8xH100 --tp 8 --pp 4 --micro-batch 1 --zero 1\n"
      "  meshplan simulate llama3-405b llama3-roce --gpus 8192 --seq 8192 --global-batch 2048 \\\n"
      "      --tp 8 --pp 16 --cp 1 --dp 64 --trainer llama3-meta\n"
      "  meshplan simulate plan.yaml --trace step.json\n",
      "meshplan simulate");
  InputFlags inputs;
  PlanFlags axes;
  OutputFlags outputs;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, false);
  add_output_flags(app, outputs);
  MESHPLAN_CLI_PARSE(app, arguments);

  MESHPLAN_CLI_TRY(const report::Question question, resolve(inputs), inputs.json);
  OpenKnobs open;
  auto estimated = [&] {
    const Progress progress("simulating");
    return settle(question, axes, open);
  }();
  MESHPLAN_CLI_TRY(const StepEstimate estimate, std::move(estimated), inputs.json);
  if (inputs.json) {
    Json document = {{"schema", "meshplan.simulate/1"},
                     {"inputs", to_json(question)},
                     {"provenance", provenance_of(question)}};
    document.update(report::to_json(estimate, question));
    document["open_knobs"] = json_of(open);
    print(document);
  } else {
    print(to_text(question) + text_of(open) + '\n' + report::to_text(estimate, question) +
          fmt::format("model FLOPs counted as {}: 'meshplan simulate --help' names the others\n",
                      to_text(question.convention)) +
          report::caveats(estimate));
  }
  MESHPLAN_CLI_TRY(const bool saved, save(outputs, question, estimate), inputs.json);
  static_cast<void>(saved);
  return 0;
}

}  // namespace meshplan::cli
