// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "strategies/model/model.hpp"
#include "strategies/program/op.hpp"
#include "strategies/trainer/trainer.hpp"

namespace meshplan {
namespace {

const std::map<std::string, uint32_t>& units() {
  static const std::map<std::string, uint32_t> all = {
      {"core-attention", bit(Module::core_attention)},
      {"norm", bit(Module::norm)},
      {"latent-up", bit(Module::qkv_up) | bit(Module::rope)},
      {"mlp", bit(Module::mlp_in) | bit(Module::activation) | bit(Module::mlp_out)},
      {"moe", bit(Module::router) | bit(Module::dispatch) | bit(Module::experts) |
                  bit(Module::expert_activation) | bit(Module::combine) |
                  bit(Module::shared_expert)},
      {"moe-activation", bit(Module::expert_activation)},
      {"shared-expert", bit(Module::shared_expert)},
      // Every second product is kept, so half of them run again: the output projection and the
      // MLP's input, which hold half of a layer's product FLOPs. Experts' grouped products are no
      // such operation and run again; what they exchange is kept (torchtitan 0.2,
      // models/deepseek_v3/infra/parallelize.py, _op_sac_save_list).
      {"per-operation", bit(Module::norm) | bit(Module::rope) | bit(Module::activation) |
                            bit(Module::residual) | bit(Module::attention_out) |
                            bit(Module::mlp_in) | bit(Module::router) | bit(Module::experts) |
                            bit(Module::expert_activation)},
  };
  return all;
}

}  // namespace

uint32_t recompute_unit(const std::string& name) {
  const auto found = units().find(name);
  return found == units().end() ? 0 : found->second;
}

std::vector<std::string> recompute_unit_names() {
  std::vector<std::string> out;
  for (const auto& [name, modules] : units()) out.push_back(name);
  return out;
}

bool has_unit(const Model& model, uint32_t unit) {
  const uint32_t latent = bit(Module::qkv_up);
  return (unit & modules_of(model)) != 0 && ((unit & latent) == 0 || model.mla);
}

uint32_t modules_of(const Model& model) {
  uint32_t out = bit(Module::norm) | bit(Module::qkv) | bit(Module::rope) |
                 bit(Module::core_attention) | bit(Module::attention_out) | bit(Module::residual);
  if (model.mla) out |= recompute_unit("latent-up");
  if (layers_of(model, LayerKind::dense) > 0) out |= recompute_unit("mlp");
  if (layers_of(model, LayerKind::moe) > 0) {
    out |= recompute_unit("moe");
    if (model.moe->shared_experts == 0) out &= ~bit(Module::shared_expert);
  }
  return out;
}

}  // namespace meshplan
