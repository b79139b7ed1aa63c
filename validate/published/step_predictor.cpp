// SPDX-License-Identifier: Apache-2.0
#include "validate/published/step_predictor.hpp"

#include <map>
#include <memory>
#include <utility>

#include "costmodel/step/cost_model.hpp"
#include "costmodel/step/estimate.hpp"
#include "strategies/rules/rules.hpp"

namespace meshplan {
namespace {

/// The same trainer without a rule of its own.
Trainer liberal(Trainer trainer) {
  const Trainer any;
  trainer.rules.clear();
  trainer.compute = {DType::fp32, DType::tf32, DType::bf16, DType::fp16, DType::fp8, DType::fp4};
  trainer.schedules.clear();
  for (int i = 0; i < kScheduleKinds; ++i)
    trainer.schedules.emplace_back(name_of(static_cast<ScheduleKind>(i)));
  trainer.max_zero = any.max_zero;
  trainer.tensor_parallel = trainer.pipeline_parallel = true;
  trainer.expert_parallel = trainer.context_parallel = true;
  trainer.context_parallel_kinds = any.context_parallel_kinds;
  trainer.hybrid_shard = trainer.optimizer_offload = true;
  trainer.recompute_limited = false;
  return trainer;
}

struct Machines {
  Constants constants;
  std::map<const Cluster*, Result<std::shared_ptr<const CostModel>>> known;

  const Result<std::shared_ptr<const CostModel>>& of(const Cluster& cluster) {
    const auto found = known.find(&cluster);
    if (found != known.end()) return found->second;
    return known.emplace(&cluster, CostModel::load(cluster, constants)).first->second;
  }
};

}  // namespace

Predictor step_predictor(const Constants& constants) {
  auto machines = std::make_shared<Machines>(Machines{constants, {}});
  return [machines](const Question& question, const Plan& plan) -> Result<StepEstimate> {
    const auto& costs = machines->of(*question.cluster);
    if (!costs.ok()) return costs.error();
    if (auto broken = violated(question.model, plan, question.batch, liberal(question.trainer)))
      return *std::move(broken);
    EstimateOptions options;
    options.check_rules = false;
    return estimate_step(**costs, question.model, plan, question.batch, question.trainer, options);
  };
}

}  // namespace meshplan
