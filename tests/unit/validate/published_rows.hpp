// SPDX-License-Identifier: Apache-2.0
// Rows of published tables for tests.
#pragma once
#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/catch.hpp"
#include "validate/published/cases.hpp"
#include "validate/published/plan_of.hpp"
#include "validate/published/question_row.hpp"

namespace meshplan::test {

using Cells = std::map<std::string, std::string>;

/// A table of one header and rows given by column name; what a row leaves out is empty.
inline CsvTable table_of(const std::vector<Cells>& rows) {
  std::vector<std::string> columns = QuestionRow::columns();
  for (const char* more :
       {"source", "tier", "outcome", "step_s", "measured_step_s", "measured_tflops_per_gpu",
        "measured_mfu", "measured_tokens_per_s_per_gpu", "measured_peak_mem_gb", "notes"})
    columns.emplace_back(more);
  std::string text;
  for (const auto& column : columns) text += column + ",";
  text += "end\n";
  for (const Cells& row : rows) {
    for (const auto& column : columns)
      text += (row.count(column) > 0 ? csv_cell(row.at(column)) : "") + ",";
    text += "\n";
  }
  return CsvTable::parse(text, "t").value();
}

inline const Cells kLlama = {{"id", "a"},
                             {"source", "S"},
                             {"trainer", "megatron-core"},
                             {"model", "Llama3-70B"},
                             {"layers", "80"},
                             {"hidden", "8192"},
                             {"ffn", "28672"},
                             {"heads", "64"},
                             {"kv_heads", "8"},
                             {"vocab", "128256"},
                             {"gated_mlp", "1"},
                             {"seq_len", "8192"},
                             {"global_batch_seqs", "128"},
                             {"micro_batch", "1"},
                             {"gpu_id", "h100-sxm5-80gb"},
                             {"gpus", "64"},
                             {"gpus_per_node", "8"},
                             {"tp", "4"},
                             {"sp", "1"},
                             {"pp", "4"},
                             {"vpp", "5"},
                             {"cp", "2"},
                             {"ep", "1"},
                             {"dp", "2"},
                             {"dp_shard", "zero1"},
                             {"recompute", "core_attn"},
                             {"precision", "fp8"},
                             {"optimizer_offload", "none"},
                             {"tier", "gold"},
                             {"outcome", "ran"},
                             {"step_s", "10"}};

inline Cells with(Cells row, const Cells& changes) {
  for (const auto& [key, value] : changes) row[key] = value;
  return row;
}

inline Case one(const Cells& row) {
  auto cases = cases_of(table_of({row}));
  REQUIRE(cases.ok());
  REQUIRE(cases->size() == 1);
  return std::move(cases->front());
}

/// All that a prediction could depend on.
inline std::string question_text(const Case& c) {
  if (!c.question) return "refused: " + c.refusal.message + c.refusal.where + c.refusal.value;
  const Question& q = *c.question;
  std::string text = fmt::format("{} {} {} {} {} {} {} {}", q.model.id, parameters(q.model),
                                 q.batch.sequence, q.batch.global_sequences, q.trainer.id,
                                 q.cluster->gpu.id, q.cluster->gpus(), q.adapters_only);
  for (const auto& level : q.levels) {
    for (const Plan& plan : level)
      text +=
          fmt::format(" [{} {} {}]", to_text(plan), plan.recompute_modules, name_of(plan.compute));
  }
  for (const auto& line : q.chosen) text += "; " + line;
  return text;
}

}  // namespace meshplan::test
