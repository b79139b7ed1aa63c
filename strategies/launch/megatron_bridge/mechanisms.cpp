// SPDX-License-Identifier: Apache-2.0
// What is overlapped and fused by Megatron-Bridge's configuration. Its recipes set most of it, so a
// key that is absent says nothing. Where there is a comm_overlap, its keys replace those of model
// and ddp (training/comm_overlap.py, CommOverlapConfig.setup).
#include "strategies/launch/megatron_bridge/files.hpp"

namespace meshplan::launch::megatron_bridge {
namespace {

bool reduces(const Job& job) { return job.plan.dp() > 1; }
bool gathers(const Job& job) { return reduces(job) && job.plan.zero >= 1; }

/// A comm_overlap sets what ddp says of the distributed optimizer's overlap anew.
const std::vector<Switch>& data_overlaps(bool comm_overlap) {
  static const std::vector<Switch> plain = {{"ddp.overlap_grad_reduce", "overlap", "grad_reduce",
                                             &Trainer::overlap_grad_reduce, true, reduces},
                                            {"ddp.overlap_param_gather", "overlap", "param_gather",
                                             &Trainer::overlap_param_gather, true, gathers}};
  static const std::vector<Switch> set_anew = {
      {"comm_overlap.overlap_grad_reduce", "overlap", "grad_reduce", &Trainer::overlap_grad_reduce,
       true, reduces},
      {"comm_overlap.overlap_param_gather", "overlap", "param_gather",
       &Trainer::overlap_param_gather, true, gathers}};
  return comm_overlap ? set_anew : plain;
}

}  // namespace

const std::vector<Switch>& switches() {
  static const std::vector<Switch> all = {
      {"model.cross_entropy_loss_fusion", "kernels", "fused_cross_entropy",
       &Trainer::fused_cross_entropy, true, nullptr},
      {"model.gradient_accumulation_fusion", "kernels", "wgrad_accumulation_fused",
       &Trainer::wgrad_accumulation_fused, true, [](const Job& job) { return job.plan.zero < 2; }},
      {"model.apply_rope_fusion", "kernels", "fused_rope", &Trainer::fused_rope, true,
       [](const Job& job) { return job.model.positions == Positions::rope && !job.model.mla; }},
      {"model.bias_activation_fusion", "kernels", "fused_bias_activation",
       &Trainer::fused_bias_activation, true, nullptr},
      {"model.bias_dropout_fusion", "kernels", "fused_bias_dropout_add",
       &Trainer::fused_bias_dropout_add, true, nullptr}};
  return all;
}

Status read_mechanisms(Config& config, bool comm_overlap) {
  const Settings& s = config.settings;
  const Plan& p = config.job.plan;
  MESHPLAN_CHECK(take_switches(config, switches(), false));
  const bool set_anew = comm_overlap && p.zero >= 1;
  MESHPLAN_CHECK(take_switches(config, data_overlaps(set_anew), false));
  for (const Switch& each : data_overlaps(false))
    if (set_anew && !s.boolean(each.name, true) && each.matters(config.job))
      config.notes.push_back(s.where(each.name) + ": comm_overlap sets it anew");
  const std::string place = comm_overlap ? "comm_overlap." : "model.";
  const std::string tp = place + "tp_comm_overlap";
  if (s.has(tp) && p.tp > 1 && p.sequence_parallel)
    MESHPLAN_CHECK(
        take_setting(config, tp, {"overlap", "tp", s.boolean(tp, false) ? "ring" : "none"}));
  const std::string ep = place + "overlap_moe_expert_parallel_comm";
  if (s.has(ep) && p.ep > 1)
    MESHPLAN_CHECK(take_setting(config, ep, {"overlap", "ep", truth(s.boolean(ep, false))}));
  const std::string dispatcher = s.text("model.moe_token_dispatcher_type", "");
  if (!dispatcher.empty() && p.ep > 1)
    MESHPLAN_CHECK(take_setting(config, "model.moe_token_dispatcher_type",
                                {"overlap", "ep_sends_once", truth(dispatcher == "flex")}));
  for (const char* key : {"model.attention_dropout", "model.hidden_dropout"})
    if (s.number(key, 0) > 0)
      MESHPLAN_CHECK(take_setting(config, key, {"kernels", "dropout", "true"}));
  if (p.compute == DType::fp8) {
    const bool delayed = precision_named(s).find("delayed") != std::string::npos;
    MESHPLAN_CHECK(
        take_setting(config, "mixed_precision", {"formats", "dynamic_scaling", truth(!delayed)}));
  }
  return Done{};
}

}  // namespace meshplan::launch::megatron_bridge
