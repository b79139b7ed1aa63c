// SPDX-License-Identifier: Apache-2.0
#include <cctype>

#include "strategies/launch/common.hpp"
#include "strategies/launch/torchtitan/files.hpp"

namespace meshplan::launch::torchtitan {

const std::vector<Flavor>& flavors() {
  static const std::vector<Flavor> all = {
      {"llama3-8b", "llama3", "8B", "llama3_8b", "Llama-3.1-8B"},
      {"llama3-70b", "llama3", "70B", "llama3_70b", "Llama-3.1-70B"},
      {"llama3-405b", "llama3", "405B", "llama3_70b", "Llama-3.1-405B"},
      {"deepseek-v2-lite", "deepseek_v3", "16B", "deepseek_v3_16b", "deepseek-moe-16b-base"},
      {"deepseek-v3", "deepseek_v3", "671B", "deepseek_v3_671b", "DeepSeek-V3.1-Base"},
      {"qwen3-0.6b", "qwen3", "0.6B", "qwen3_0_6b", "Qwen3-0.6B"},
      {"qwen3-1.7b", "qwen3", "1.7B", "qwen3_1_7b", "Qwen3-1.7B"},
      {"qwen3-14b", "qwen3", "14B", "qwen3_14b", "Qwen3-14B"},
      {"qwen3-4b", "qwen3", "4B", "qwen3_14b", "Qwen3-4B"},
      {"qwen3-8b", "qwen3", "8B", "qwen3_14b", "Qwen3-8B"},
      {"qwen3-32b", "qwen3", "32B", "qwen3_32b", "Qwen3-32B"},
      {"qwen3-30b-a3b", "qwen3", "30B-A3B", "qwen3_30b_a3b", "Qwen3-30B-A3B"},
      {"qwen3-235b-a22b", "qwen3", "235B-A22B", "qwen3_30b_a3b", "Qwen3-235B-A22B"},
  };
  return all;
}

const Flavor* flavor_of(const Model& model) {
  for (const Flavor& each : flavors())
    if (const auto known = find_model(each.model); known.ok() && same_shape(*known, model))
      return &each;
  return nullptr;
}

const Flavor* flavor_named(const std::string& module, const std::string& flavor) {
  for (const Flavor& each : flavors())
    if (module == each.module && flavor == each.flavor) return &each;
  return nullptr;
}

const char* async_key(Version version) {
  return version < kRecipes ? "parallelism.enable_async_tensor_parallel"
                            : "compile.enable_async_tensor_parallel";
}

StageKind stages_of(const std::string& schedule) {
  std::string name;
  for (const char c : schedule)
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (name == "1f1b" || name == "gpipe") return StageKind::single;
  for (const char* looped :
       {"interleaved1f1b", "loopedbfs", "interleavedzerobubble", "zbvzerobubble", "dualpipev"})
    if (name == looped) return StageKind::looped;
  return StageKind::unknown;
}

}  // namespace meshplan::launch::torchtitan
