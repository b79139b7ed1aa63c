// SPDX-License-Identifier: Apache-2.0
#include "validate/published/question_row.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cctype>
#include <charconv>
#include <cmath>

namespace meshplan {

const std::vector<std::string>& QuestionRow::columns() {
  static const std::vector<std::string> kColumns = {"id",
                                                    "trainer",
                                                    "framework",
                                                    "source_detail",
                                                    "year",
                                                    "flops_convention",
                                                    "model",
                                                    "layers",
                                                    "hidden",
                                                    "ffn",
                                                    "heads",
                                                    "kv_heads",
                                                    "vocab",
                                                    "gated_mlp",
                                                    "experts",
                                                    "top_k",
                                                    "seq_len",
                                                    "global_batch_seqs",
                                                    "micro_batch",
                                                    "gpu_id",
                                                    "gpu",
                                                    "gpu_mem_gb",
                                                    "gpus",
                                                    "gpus_per_node",
                                                    "intra_bw_GBps",
                                                    "inter_bw_GBps_per_gpu",
                                                    "fabric",
                                                    "tp",
                                                    "sp",
                                                    "pp",
                                                    "vpp",
                                                    "cp",
                                                    "ep",
                                                    "dp",
                                                    "dp_shard",
                                                    "recompute",
                                                    "precision",
                                                    "optimizer_offload"};
  return kColumns;
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::string QuestionRow::text(const std::string& column) const {
  assert(std::find(columns().begin(), columns().end(), column) != columns().end());
  std::string cell(table_.cell(record_, column));
  std::string word = cell;
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* empty : {"-", "?", "n/a", "na", "nan", "unknown", "not stated"})
    if (word == empty) return "";
  return cell;
}

std::optional<double> QuestionRow::number(const std::string& column) {
  const std::string cell = text(column);
  if (cell.empty()) return std::nullopt;
  const auto value = number_of(cell);
  if (!value) problem(column, "expected a number");
  return value;
}

std::optional<int64_t> QuestionRow::count(const std::string& column) {
  const auto value = number(column);
  if (!value) return std::nullopt;
  if (*value < 1 || *value > 1e15 || *value != std::floor(*value)) {
    problem(column, "expected a whole number of at least 1");
    return std::nullopt;
  }
  return static_cast<int64_t>(*value);
}

std::optional<int64_t> QuestionRow::degree(const std::string& column) {
  const std::string cell = text(column);
  for (const char* off : {"0", "0.0", "none", "None", "off", "no"})
    if (cell == off) return 1;
  return count(column);
}

void QuestionRow::problem(const std::string& column, const std::string& message,
                          const std::string& hint) {
  if (!first_)
    first_ = Diagnostic{ErrorKind::input, message, where(column), text(column), "row", hint};
}

Status QuestionRow::finish() const {
  if (first_) return *first_;
  return Done{};
}

std::string QuestionRow::where(const std::string& column) const {
  return fmt::format("{}:{}{}{}", table_.name(), record_.line, column.empty() ? "" : ": ", column);
}

bool one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return word == w; });
}

}  // namespace meshplan
