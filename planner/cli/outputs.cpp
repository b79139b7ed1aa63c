// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/outputs.hpp"

#include "costmodel/step/estimate.hpp"
#include "planner/planfile/planfile.hpp"
#include "planner/report/trace.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {

void add_output_flags(CLI::App& app, OutputFlags& flags) {
  app.add_option("--save", flags.save, "write the plan as a file that other commands read")
      ->group("Output");
  app.add_option("--trace", flags.trace,
                 "write the timeline of one step as Chrome trace JSON (Perfetto opens it)")
      ->group("Output");
}

Result<bool> save(const OutputFlags& flags, const report::Question& q,
                  const StepEstimate& estimate) {
  if (!flags.trace.empty()) {
    StepDetail detail;
    EstimateOptions options;
    options.convention = q.convention;
    options.check_rules = false;
    options.detail = &detail;
    options.trace = true;
    MESHPLAN_TRY(const StepEstimate again,
                 estimate_step(q.model, estimate.plan, q.batch, q.trainer, q.cluster, options));
    MESHPLAN_CHECK(write_file(flags.trace, report::chrome_trace(again, detail).dump() + "\n"));
  }
  if (flags.save.empty()) return false;
  const planfile::PlanFile file{q.model, q.cluster, q.trainer, estimate.plan, q.batch};
  MESHPLAN_CHECK(write_file(flags.save, planfile::to_yaml(file)));
  return true;
}

void complain_briefly(const std::string& what, const std::string& hint) {
  fail({.kind = ErrorKind::no_plan, .message = what, .hint = hint}, false);
}

}  // namespace meshplan::cli
