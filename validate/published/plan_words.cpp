// SPDX-License-Identifier: Apache-2.0
// Spellings of the plan's columns.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "strategies/program/op.hpp"
#include "topologies/base/nearest.hpp"
#include "validate/published/plan_of.hpp"

namespace meshplan {
namespace {

bool one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return word == w; });
}

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

Result<DType> precision_words(const std::string& text) {
  const std::string word = lower_case(text);
  if (one_of(word, {"fp4", "nvfp4", "mxfp4"})) return DType::fp4;
  if (word.find("fp8") != std::string::npos || word.find("float8") == 0) return DType::fp8;
  if (word.find("bf16") != std::string::npos || word == "bfloat16") return DType::bf16;
  if (one_of(word, {"fp16", "float16", "half", "amp", "mixed", "16-mixed", "fp16-mixed"}))
    return DType::fp16;
  if (one_of(word, {"fp32", "float32", "float"})) return DType::fp32;
  if (word == "tf32") return DType::tf32;
  return Diagnostic{ErrorKind::input,
                    "unknown number format",
                    "precision",
                    text,
                    "row",
                    suggest(word, {"bf16", "fp16", "fp32", "fp8", "fp4"})};
}

Result<double> offload_share(const std::string& text) {
  const std::string word = lower_case(text);
  if (word.empty() || one_of(word, {"none", "0", "no", "off", "false"})) return 0.0;
  if (one_of(word, {"1", "yes", "on", "true", "cpu", "full"})) return 1.0;
  const size_t digit = word.find_first_of("0123456789");
  if (digit != std::string::npos && digit < word.size()) {
    const size_t end = word.find_first_not_of("0123456789.", digit);
    if (const auto value = number_of(std::string_view(word).substr(digit, end - digit)))
      return std::clamp(*value > 1 ? *value / 100 : *value, 0.0, 1.0);
  }
  return Diagnostic{ErrorKind::input,
                    "unknown word for the optimizer's place",
                    "optimizer_offload",
                    text,
                    "row",
                    "none, 0, 1, or 'cpu 50%'"};
}

Result<ShardWords> shard_words(const std::string& text) {
  std::string word = lower_case(text);
  ShardWords out;
  if (word.empty()) return out;
  out.stated = true;
  if (one_of(word, {"none", "no", "0", "ddp", "zero0", "zero-0"})) return out;
  if (one_of(word, {"os", "distributed optimizer", "distributed_optimizer"})) word = "zero1";
  if (one_of(word, {"1", "2", "3"})) word = "zero" + word;
  if (one_of(word, {"hybrid_shard", "hybrid-shard"})) word = "hsdp";
  if (word.rfind("hsdp", 0) == 0) {
    out.zero = 3;
    if (word.size() > 5) {
      const auto group = number_of(std::string_view(word).substr(5));
      if (group && *group >= 1) out.group = static_cast<int64_t>(*group);
    }
    return out;
  }
  if (one_of(word, {"fsdp", "fsdp2", "full", "full_shard", "full-shard"})) {
    out.zero = 3;
    return out;
  }
  if (one_of(word, {"shard_grad_op", "grad"})) {
    out.zero = 2;
    return out;
  }
  if (word.rfind("zero", 0) == 0 && word.back() >= '1' && word.back() <= '3') {
    out.zero = word.back() - '0';
    return out;
  }
  return Diagnostic{ErrorKind::input,
                    "unknown way of sharding",
                    "dp_shard",
                    text,
                    "row",
                    suggest(word, {"none", "zero1", "zero2", "zero3", "hsdp:8"})};
}

}  // namespace meshplan
