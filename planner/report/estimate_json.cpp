// SPDX-License-Identifier: Apache-2.0
#include <cctype>

#include "planner/report/estimate.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::report {
namespace {

Json parts(const std::vector<Part>& all, const char* unit, bool whole) {
  Json out = Json::object();
  for (const Part& part : all) {
    const std::string key = key_of(part.name, unit);
    if (whole)
      out[key] = static_cast<int64_t>(part.value);
    else
      out[key] = part.value;
  }
  return out;
}

}  // namespace

std::string key_of(const std::string& name, const char* unit) {
  std::string out;
  for (char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!out.empty() && out.back() != '_')
      out += '_';
  }
  if (!out.empty() && out.back() == '_') out.pop_back();
  return out + '_' + unit;
}

Json to_json(const Plan& plan, const Batch& batch) {
  Json modules = Json::array();
  for (int i = 0; i <= static_cast<int>(Module::state); ++i)
    if ((plan.recompute_modules >> i & 1) != 0) modules.push_back(name_of(static_cast<Module>(i)));
  return {{"tp", plan.tp},
          {"sequence_parallel", plan.sequence_parallel},
          {"pp", plan.pp},
          {"vpp", plan.vpp},
          {"schedule", name_of(plan.schedule)},
          {"schedule_group", plan.schedule_group},
          {"layer_split", plan.layer_split},
          {"cp", plan.cp},
          {"cp_kind", to_text(plan.cp_kind)},
          {"ep", plan.ep},
          {"etp", plan.etp},
          {"dp", plan.dp()},
          {"dp_shard", plan.dp_shard},
          {"dp_replicate", plan.dp_replicate},
          {"zero", plan.zero},
          {"reshard_after_forward", plan.reshard_after_forward},
          {"micro_batch", plan.micro_batch},
          {"micro_batches", batch.micro_batches(plan)},
          {"recompute", to_text(plan.recompute)},
          {"recompute_modules", std::move(modules)},
          {"recompute_layers", plan.recompute_layers},
          {"compute_format", name_of(plan.compute)},
          {"gradient_format", name_of(plan.gradient)},
          {"optimizer_offload", plan.optimizer_offload}};
}

Json to_json(const StepEstimate& e, const Question& q) {
  return {{"plan", to_text(e.plan)},
          {"strategy", to_json(e.plan, e.batch)},
          {"step_time_s", e.step_s},
          {"step_time_low_s", e.step_low_s},
          {"step_time_high_s", e.step_high_s},
          {"tokens_per_s_per_gpu", e.tokens_per_s_per_gpu},
          {"tflops_per_gpu", e.tflops_per_gpu},
          {"mfu", e.mfu},
          {"peak_memory_bytes", e.peak_memory_bytes},
          {"peak_memory_low_bytes", e.peak_low_bytes},
          {"peak_memory_high_bytes", e.peak_high_bytes},
          {"capacity_bytes", e.capacity_bytes},
          {"host_memory_bytes", e.host_memory_bytes},
          {"host_capacity_bytes", e.host_capacity_bytes},
          {"fits", e.fits},
          {"peak_stage", e.peak_stage},
          {"memory", parts(e.memory, "bytes", true)},
          {"time", parts(e.time, "s", false)},
          {"bubble_fraction", e.bubble_share},
          {"limited_by", e.limited_by},
          {"assumptions", e.assumptions},
          {"not_modelled", e.not_modelled},
          {"priced_only", not_run(e, q)}};
}

}  // namespace meshplan::report
