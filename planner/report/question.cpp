// SPDX-License-Identifier: Apache-2.0
#include "planner/report/question.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "costmodel/cpu/gpu_measures.hpp"
#include "costmodel/step/constants.hpp"
#include "planner/report/facts.hpp"
#include "planner/report/format.hpp"
#include "strategies/trainer/settings.hpp"

namespace meshplan::report {

std::string to_text(const Question& q) {
  const std::string machine =
      q.cluster.nodes == 1 && q.cluster.gpus() == 1
          ? q.cluster.gpu.name
          : fmt::format("{} x {}", grouped(q.cluster.gpus()), q.cluster.gpu.name);
  std::string out =
      fmt::format("{} ({} parameters) on {}, {}\n", q.model.id,
                  count(static_cast<double>(parameters(q.model))), machine, q.cluster.id);
  const double tokens =
      static_cast<double>(q.batch.global_sequences) * static_cast<double>(q.batch.sequence);
  out += fmt::format("{} of {} tokens a step ({} tokens), trainer {}, {}\n",
                     plural(q.batch.global_sequences, "sequence"), grouped(q.batch.sequence),
                     count(tokens), q.trainer.id, name_of(q.compute));
  if (!q.trainer.settings.empty())
    out += "trainer set to: " + wrapped(settings_text(q.trainer), 16) + '\n';
  if (!q.defaults.empty())
    out += "not stated: " + wrapped(fmt::format("{}", fmt::join(q.defaults, "; ")), 12) + '\n';
  return out;
}

Json to_json(const Question& q) {
  const double tokens =
      static_cast<double>(q.batch.global_sequences) * static_cast<double>(q.batch.sequence);
  return {{"model", to_json(facts_of(q.model))},
          {"cluster", to_json(facts_of(q.cluster))},
          {"trainer", to_json(facts_of(q.trainer))},
          {"gpus", q.cluster.gpus()},
          {"sequence_tokens", q.batch.sequence},
          {"global_batch_sequences", q.batch.global_sequences},
          {"global_batch_tokens", static_cast<int64_t>(tokens)},
          {"compute_format", name_of(q.compute)},
          {"flops_convention", to_text(q.convention)},
          {"model_flops_per_token", model_flops_per_token(q.model, q.batch.sequence, q.convention)},
          {"defaults", q.defaults}};
}

Json provenance_of(const Question& q) {
  const TableName kernels = table_name(q.cluster.gpu.kernel_table);
  Json out = {{"tool", "meshplan"},
              {"version", MESHPLAN_VERSION},
              {"model", q.model.source},
              {"cluster", q.cluster.source},
              {"gpu", q.cluster.gpu.source},
              {"trainer", q.trainer.source},
              {"kernels", fmt::format("costmodel/data, measured on {}", kernels.table)},
              {"collectives", fmt::format("costmodel/data, measured on {}",
                                          table_name(q.cluster.gpu.collective_table).table)}};
  if (!kernels.profile.empty()) {
    if (const auto measured = read_cpu_profile(kernels.profile); measured.ok()) {
      out["profile"] =
          fmt::format("{}: {}, before those tables", measured->processor, measured->source);
    }
  }
  if (const auto constants = load_constants(); constants.ok())
    out["fitted_constants"] = constants->fitted_on;
  out["assumed"] = {{"model", q.model.assumptions},
                    {"cluster", q.cluster.assumed},
                    {"gpu", q.cluster.gpu.assumed},
                    {"trainer", q.trainer.assumed}};
  return out;
}

}  // namespace meshplan::report
