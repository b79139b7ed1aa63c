// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/not_modelled.hpp"

namespace meshplan {

std::vector<std::string> not_modelled(const Model& model, const Plan& plan, const Trainer& trainer,
                                      const Cluster& cluster) {
  std::vector<std::string> out = {
      "checkpoints, evaluation, failures and restarts: a step in the steady state is timed",
      "steps that wait for their input data"};
  if (cluster.nodes > 1)
    out.emplace_back("other jobs on the same network, and flows that hash onto the same links");
  if (model.moe && plan.ep > 1 && trainer.expert_load_ratio == 1)
    out.emplace_back(
        "tokens that prefer some experts: every expert is taken to get its equal share "
        "(--set kernels.expert_load_ratio=1.6: the fullest rank gets 1.6 times that)");
  if (model.mtp_layers > 0) out.emplace_back("multi-token-prediction layers");
  if (trainer.layers_on_host_share > 0 && plan.zero == 3 && plan.pp == 1)
    out.emplace_back("copies of activations to the host and back: taken as hidden behind layers");
  if (plan.cp > 1)
    out.emplace_back("documents packed into a sequence: attention is causal over the whole of it");
  return out;
}

}  // namespace meshplan
