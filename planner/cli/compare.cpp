// SPDX-License-Identifier: Apache-2.0
// meshplan compare: two plan files side by side.
#include "costmodel/step/estimate.hpp"
#include "planner/cli/inputs.hpp"
#include "planner/planfile/planfile.hpp"
#include "planner/report/explanation.hpp"

namespace meshplan::cli {
namespace {

struct Side {
  report::Question question;
  StepEstimate estimate;
};

Result<Side> read_side(const std::string& path) {
  MESHPLAN_TRY(planfile::PlanFile file, planfile::read(path));
  Side out;
  EstimateOptions options;
  MESHPLAN_TRY(out.estimate, estimate_step(file.model, file.plan, file.batch, file.trainer,
                                           file.cluster, options));
  out.question.compute = file.plan.compute;
  out.question.model = std::move(file.model);
  out.question.cluster = std::move(file.cluster);
  out.question.batch = file.batch;
  out.question.trainer = std::move(file.trainer);
  return out;
}

Json json_of(const Side& side) {
  return {{"inputs", to_json(side.question)},
          {"estimate", report::to_json(side.estimate, side.question)}};
}

}  // namespace

int run_compare(const Arguments& arguments) {
  CLI::App app(
      "Two plan files, part by part.\n\n"
      "  meshplan plan llama3-70b 64x8xH100 --save a.yaml\n"
      "  meshplan simulate llama3-70b 64x8xH100 --tp 8 --pp 4 --save b.yaml\n"
      "  meshplan compare a.yaml b.yaml\n",
      "meshplan compare");
  std::string first, second;
  bool json = false;
  app.add_option("A", first, "a plan file");
  app.add_option("B", second, "another");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (second.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = "two plan files are compared",
                 .hint = "meshplan compare A.yaml B.yaml; --save of plan and simulate writes them"},
                json);
  MESHPLAN_CLI_TRY(const Side a, read_side(first), json);
  MESHPLAN_CLI_TRY(const Side b, read_side(second), json);
  if (json) {
    print(Json{{"schema", "meshplan.compare/1"},
               {"inputs", {{"a", first}, {"b", second}}},
               {"provenance", {{"a", provenance_of(a.question)}, {"b", provenance_of(b.question)}}},
               {"a", json_of(a)},
               {"b", json_of(b)}});
    return 0;
  }
  const std::string left = to_text(a.question), right = to_text(b.question);
  print(left == right ? left + '\n' : "A  " + left + "B  " + right + '\n');
  for (const auto& [name, side] : {std::pair{"A  ", &a}, std::pair{"B  ", &b}}) {
    const std::string line = report::not_run_text(side->estimate, side->question, 3);
    if (!line.empty()) print(name + line.substr(3));
  }
  print(report::compared(a.estimate, b.estimate));
  return 0;
}

}  // namespace meshplan::cli
