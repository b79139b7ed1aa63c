// SPDX-License-Identifier: Apache-2.0
// Spellings of the plan's columns.
#include <fmt/format.h>

#include <algorithm>

#include "topologies/base/nearest.hpp"
#include "validate/published/plan_of.hpp"

namespace meshplan {

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
