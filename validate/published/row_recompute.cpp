// SPDX-License-Identifier: Apache-2.0
#include "validate/published/row_recompute.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "strategies/program/op.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : text + ",") {
    if (c == ',' || c == '+' || c == ';' || c == ' ' || c == ':' || c == '(' || c == ')') {
      if (!word.empty()) out.push_back(word);
      word.clear();
    } else {
      word += c;
    }
  }
  return out;
}

/// Names that Megatron-Core and Megatron-Bridge recipes give to what selective recompute covers.
uint32_t module_bits(const std::string& word) {
  if (one_of(word, {"core_attn", "core_attention", "attention", "attn"}))
    return bit(Module::core_attention);
  if (one_of(word, {"layernorm", "norm", "ln"})) return bit(Module::norm);
  if (one_of(word, {"mlp", "dense_mlp"})) return recompute_unit("mlp");
  if (one_of(word, {"op", "per-op"})) return recompute_unit("per-operation");
  if (one_of(word, {"moe"})) return recompute_unit("moe");
  if (one_of(word, {"moe_act"})) return recompute_unit("moe-activation");
  if (one_of(word, {"activation", "gelu", "swiglu"})) return bit(Module::activation);
  if (one_of(word, {"shared_experts", "shared_expert"})) return bit(Module::shared_expert);
  if (one_of(word, {"mla_up_proj", "up_proj"})) return recompute_unit("latent-up");
  return 0;
}

}  // namespace

uint32_t modules_of(SelectiveMeaning meaning) {
  switch (meaning) {
    case SelectiveMeaning::core_attention:
      return bit(Module::core_attention);
    case SelectiveMeaning::per_operation:
      return recompute_unit("per-operation");
    case SelectiveMeaning::activation:
      return bit(Module::activation);
  }
  return 0;
}

uint32_t expert_modules() { return recompute_unit("mlp") | recompute_unit("moe"); }

uint32_t cheap_modules() {
  return bit(Module::norm) | bit(Module::rope) | bit(Module::core_attention) |
         bit(Module::activation);
}

Result<RecomputeWords> recompute_words(const std::string& text) {
  const std::string words = lower_case(text);
  RecomputeWords out;
  if (words.empty()) return out;
  out.stated = true;
  if (one_of(words, {"none", "no", "off", "0", "false", "disabled"})) return out;
  if (one_of(words,
             {"full", "1", "true", "yes", "on", "block", "uniform", "all", "layer", "ac",
              "activation checkpointing", "activation recomputation", "gradient checkpointing"})) {
    out.kind = Recompute::full;
    return out;
  }
  const std::vector<std::string> parts = split(words);
  if (!parts.empty() && parts.front() == "full") {
    out.kind = Recompute::full;
    // By block the number is of layers that recompute; uniformly all do, in groups of it.
    if (std::find(parts.begin(), parts.end(), "uniform") != parts.end()) return out;
    for (const std::string& part : parts)
      if (const auto layers = number_of(part); layers && *layers >= 1 && out.layers == 0)
        out.layers = static_cast<int64_t>(*layers);
    return out;
  }
  out.kind = Recompute::selective;
  bool understood = false;
  for (const std::string& part : parts) {
    const uint32_t bits = module_bits(part);
    out.modules |= bits;
    understood = understood || bits != 0 || part == "selective";
  }
  if (understood) return out;
  return Diagnostic{ErrorKind::input,
                    "unknown way of recomputing",
                    "recompute",
                    text,
                    "row",
                    suggest(words, {"none", "selective", "full", "core_attn", "layernorm", "mlp",
                                    "moe", "moe_act"})};
}

Result<std::vector<RowRecompute>> recompute_of(QuestionRow& row, const TrainerDefaults& defaults,
                                               Question& question) {
  // Where no scores are kept, recomputing the core of attention saves nothing: a mixture of experts
  // that is recomputed selectively makes its experts' work again.
  const bool experts = question.model.moe && question.trainer.attention == AttentionKernel::flash &&
                       defaults.selective == SelectiveMeaning::core_attention;
  const uint32_t has = modules_of(question.model);
  const uint32_t selective =
      has & (modules_of(defaults.selective) | (experts ? cheap_modules() | expert_modules() : 0));
  const uint32_t cheap = has & (selective | cheap_modules());
  MESHPLAN_TRY(RecomputeWords stated, recompute_words(row.text("recompute")));
  const bool how_much_is_open = (stated.kind == Recompute::selective && stated.modules == 0) ||
                                (stated.kind == Recompute::full && stated.layers == 0);
  MESHPLAN_TRY(const RecomputeWords recipe, recompute_words(question.recompute));
  if (recipe.stated && (!stated.stated || (how_much_is_open && recipe.kind == stated.kind))) {
    stated = recipe;
    question.chosen.push_back(
        fmt::format("recompute: {} by the source's recipes", question.recompute));
  }
  if (stated.stated) {
    if (stated.kind != Recompute::selective)
      return std::vector<RowRecompute>{{{stated.kind, 0}, stated.layers}};
    if (stated.modules != 0) {
      const uint32_t modules = has & stated.modules;
      return std::vector<RowRecompute>{
          {{modules != 0 ? Recompute::selective : Recompute::none, modules}}};
    }
    question.chosen.emplace_back(
        "recompute: selective of what is not stated; what the trainer means by it, or the next "
        "that fits");
    return std::vector<RowRecompute>{{{Recompute::selective, selective}},
                                     {{Recompute::selective, cheap}},
                                     {{Recompute::selective, has & (cheap | expert_modules())}}};
  }
  MESHPLAN_TRY(const Recompute usual, recompute_from(defaults.recompute));
  question.chosen.push_back(
      fmt::format("recompute: not stated; {}, or the next that fits", defaults.recompute));
  std::vector<RowRecompute> out;
  if (usual == Recompute::none) out.push_back({{Recompute::none, 0}});
  if (usual != Recompute::full) {
    out.push_back({{Recompute::selective, selective}});
    out.push_back({{Recompute::selective, cheap}});
  }
  if (usual != Recompute::full && recomputes_some_layers(question.trainer, Recompute::full))
    for (const double share : kRecomputeShares) out.push_back({{Recompute::full, 0, share}});
  out.push_back({{Recompute::full, 0}});
  return out;
}

}  // namespace meshplan
