// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/megatron_lm/files.hpp"

namespace meshplan::launch::megatron_lm {
namespace {

struct Named {
  const char* name;
  const char* unit;  ///< of trainer files, see recompute_unit()
};
constexpr Named kModules[] = {{"core_attn", "core-attention"},
                              {"layernorm", "norm"},
                              {"mla_up_proj", "latent-up"},
                              {"mlp", "mlp"},
                              {"moe", "moe"},
                              {"moe_act", "moe-activation"},
                              {"shared_experts", "shared-expert"}};

}  // namespace

std::vector<std::string> module_names(uint32_t modules) {
  std::vector<std::string> out;
  uint32_t said = 0;
  for (const Named& each : kModules) {
    const uint32_t unit = recompute_unit(each.unit);
    if ((unit & ~modules) != 0 || (unit & ~said) == 0) continue;
    out.emplace_back(each.name);
    said |= unit;
  }
  return out;
}

uint32_t modules_named(const std::string& name) {
  for (const Named& each : kModules)
    if (name == each.name) return recompute_unit(each.unit);
  return 0;
}

}  // namespace meshplan::launch::megatron_lm
