// SPDX-License-Identifier: Apache-2.0
// meshplan explain: what limits a plan, what would one other choice change, why not that one?
#include "planner/cli/inputs.hpp"
#include "planner/cli/open_knobs.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/explanation.hpp"

namespace meshplan::cli {
namespace {

Result<report::Explanation> explain(const report::Question& q, const PlanFlags& flags,
                                    const std::vector<std::string>& wishes) {
  OpenKnobs open;
  report::Explanation out;
  MESHPLAN_TRY(out.estimate, settle(q, flags, open));
  const Setting setting{q.model, q.batch, q.trainer, q.cluster};
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(const auto costs, CostModel::load(q.cluster, constants));
  MESHPLAN_TRY(out.elasticities, elasticities(setting, out.estimate));
  for (const auto& wish : wishes) {
    const size_t equals = wish.find('=');
    if (equals == std::string::npos)
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "expected KNOB=VALUE",
                        .where = "--why-not",
                        .value = wish,
                        .hint = "e.g. --why-not tp=16"};
    MESHPLAN_TRY(Alternative other, why_not(setting, *costs, out.estimate.plan,
                                            wish.substr(0, equals), wish.substr(equals + 1)));
    out.why_not.push_back(std::move(other));
  }
  MESHPLAN_TRY(out.sources, time_sources(*costs, {q.model, out.estimate.plan, q.batch, q.trainer}));
  out.neighbours = neighbours(setting, *costs, out.estimate.plan);
  return out;
}

}  // namespace

int run_explain(const Arguments& arguments) {
  CLI::App app(
      "What limits a plan, what one other choice would change, and why not another one.\n\n"
      "  meshplan explain plan.yaml\n"
      "  meshplan explain llama3-70b 64x8xH100 --tp 8 --pp 4 --why-not tp=16 --why-not pp=1\n",
      "meshplan explain");
  InputFlags inputs;
  PlanFlags axes;
  std::vector<std::string> wishes;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, false);
  app.add_option("--why-not", wishes,
                 "KNOB=VALUE: tp, pp, vpp, cp, ep, etp, zero, micro-batch, recompute, schedule, "
                 "sequence-parallel");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const report::Question question, resolve(inputs), inputs.json);
  auto explained = [&] {
    const Progress progress("explaining");
    return explain(question, axes, wishes);
  }();
  MESHPLAN_CLI_TRY(const report::Explanation explanation, std::move(explained), inputs.json);
  if (inputs.json)
    print(report::to_json(explanation, question));
  else
    print(report::to_text(explanation, question));
  return 0;
}

}  // namespace meshplan::cli
