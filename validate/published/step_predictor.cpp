// SPDX-License-Identifier: Apache-2.0
#include "validate/published/step_predictor.hpp"

#include <map>
#include <memory>
#include <utility>

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
  std::shared_ptr<CalibrationCache> tables;
  std::map<const Cluster*, std::shared_ptr<const CostModel>> known;

  Result<std::shared_ptr<const CostModel>> of(const Cluster& cluster) {
    std::shared_ptr<const CostModel>& model = known[&cluster];
    if (!model) {
      MESHPLAN_TRY(auto calibration, tables->get(cluster.gpu));
      model = std::make_shared<const CostModel>(cluster, constants, std::move(calibration));
    }
    return model;
  }
};

}  // namespace

Predictor step_predictor(const Constants& constants, std::shared_ptr<CalibrationCache> tables) {
  if (!tables) tables = std::make_shared<CalibrationCache>();
  auto machines = std::make_shared<Machines>(Machines{constants, std::move(tables), {}});
  return [machines](const Question& question, const Plan& plan) -> Result<StepEstimate> {
    MESHPLAN_TRY(const auto costs, machines->of(*question.cluster));
    if (auto broken = violated(question.model, plan, question.batch, liberal(question.trainer)))
      return *std::move(broken);
    EstimateOptions options;
    options.check_rules = false;
    return estimate_step(*costs, question.model, plan, question.batch, question.trainer, options);
  };
}

}  // namespace meshplan
