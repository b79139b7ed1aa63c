// SPDX-License-Identifier: Apache-2.0
// What is overlapped and fused by Megatron-LM's flags. Its defaults (arguments.py and
// transformer_config.py, core 0.19 and 0.20): no overlap of data or tensor parallelism, no fused
// loss, dropout of 0.1, an all-gather of tokens; all other fusions.
#include "strategies/launch/megatron_lm/files.hpp"

namespace meshplan::launch::megatron_lm {
namespace {

/// Scores in memory: no fused attention is asked for, or there is none.
bool materialised(const Settings& s) {
  const std::string backend = s.text("--attention-backend", "auto");
  if (backend == "unfused" || backend == "local") return true;
  return s.text("--transformer-impl", "transformer_engine") == "local" && backend != "flash" &&
         !s.boolean("--use-flash-attn", false);
}

Status read_moments(Config& config) {
  const Settings& s = config.settings;
  if (!s.boolean("--use-precision-aware-optimizer", false)) return Done{};
  const std::string first = s.text("--exp-avg-dtype", "fp32");
  if (first == s.text("--exp-avg-sq-dtype", "fp32"))
    return take_setting(config, "--exp-avg-dtype", {"formats", "optimizer_moment", first});
  config.notes.push_back(s.where("--exp-avg-dtype") +
                         ": the two moments in one format each; in the plan they have the same");
  return Done{};
}

}  // namespace

const std::vector<Switch>& data_switches() {
  static const std::vector<Switch> all = {
      {"--overlap-grad-reduce", "overlap", "grad_reduce", &Trainer::overlap_grad_reduce, true,
       [](const Job& job) { return job.plan.dp() > 1; }},
      {"--overlap-param-gather", "overlap", "param_gather", &Trainer::overlap_param_gather, true,
       [](const Job& job) { return job.plan.dp() > 1 && job.plan.zero >= 1; }}};
  return all;
}

const std::vector<Switch>& kernel_switches() {
  static const std::vector<Switch> all = {
      {"--no-overlap-p2p-communication", "overlap", "p2p", &Trainer::overlap_p2p, false,
       [](const Job& job) { return job.plan.pp > 1 && job.plan.vpp > 1; }},
      {"--overlap-moe-expert-parallel-comm", "overlap", "ep", &Trainer::overlap_ep, true,
       [](const Job& job) { return job.plan.ep > 1; }},
      {"--no-rope-fusion", "kernels", "fused_rope", &Trainer::fused_rope, false,
       [](const Job& job) { return job.model.positions == Positions::rope && !job.model.mla; }},
      {"--no-bias-swiglu-fusion", "kernels", "fused_bias_activation",
       &Trainer::fused_bias_activation, false,
       [](const Job& job) { return job.model.activation == ActivationType::swiglu; }},
      {"--no-bias-gelu-fusion", "kernels", "fused_bias_activation", &Trainer::fused_bias_activation,
       false, [](const Job& job) { return job.model.activation == ActivationType::gelu; }},
      {"--no-bias-dropout-fusion", "kernels", "fused_bias_dropout_add",
       &Trainer::fused_bias_dropout_add, false, nullptr},
      // Megatron-FSDP has no such products, whatever a plan says.
      {"--no-gradient-accumulation-fusion", "kernels", "wgrad_accumulation_fused",
       &Trainer::wgrad_accumulation_fused, false, [](const Job& job) { return job.plan.zero < 2; }},
      {"--fp8-param-gather", "formats", "quantised_weights_gathered",
       &Trainer::quantised_weights_gathered, true, [](const Job& job) {
         return job.plan.compute == DType::fp8 && job.plan.dp() > 1 && job.plan.zero >= 1;
       }}};
  return all;
}

Status read_mechanisms(Config& config) {
  const Settings& s = config.settings;
  const Plan& p = config.job.plan;
  MESHPLAN_CHECK(take_switches(config, data_switches(), true));
  MESHPLAN_CHECK(take_switches(config, kernel_switches(), true));
  MESHPLAN_CHECK(take_setting(
      config, "--cross-entropy-loss-fusion",
      {"kernels", "fused_cross_entropy", truth(s.boolean("--cross-entropy-loss-fusion", false))}));
  if (p.tp > 1 && p.sequence_parallel) {
    MESHPLAN_CHECK(
        take_setting(config, "--tp-comm-overlap",
                     {"overlap", "tp", s.boolean("--tp-comm-overlap", false) ? "ring" : "none"}));
  }
  if (config.job.model.moe && p.ep > 1) {
    const bool once = s.text("--moe-token-dispatcher-type", "allgather") == "flex";
    MESHPLAN_CHECK(take_setting(config, "--moe-token-dispatcher-type",
                                {"overlap", "ep_sends_once", truth(once)}));
  }
  MESHPLAN_CHECK(
      take_setting(config, "--attention-backend",
                   {"kernels", "attention", materialised(s) ? "materialised" : "flash"}));
  const bool dropout =
      s.number("--attention-dropout", 0.1) > 0 || s.number("--hidden-dropout", 0.1) > 0;
  MESHPLAN_CHECK(take_setting(config, "--hidden-dropout", {"kernels", "dropout", truth(dropout)}));
  if (p.compute == DType::fp8) {
    const bool found = s.text("--fp8-recipe", "delayed") != "delayed";
    MESHPLAN_CHECK(
        take_setting(config, "--fp8-recipe", {"formats", "dynamic_scaling", truth(found)}));
  }
  return read_moments(config);
}

}  // namespace meshplan::launch::megatron_lm
