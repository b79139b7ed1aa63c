// SPDX-License-Identifier: Apache-2.0
#include "validate/published/model_of.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "strategies/model/columns.hpp"
#include "validate/published/case.hpp"

namespace meshplan {

Result<Model> model_of(QuestionRow& row, const Mapping& mapping, const TrainerDefaults& defaults,
                       std::vector<std::string>& chosen) {
  ModelColumns columns;
  columns.name = row.text("model");
  columns.layers = row.count("layers");
  columns.hidden = row.count("hidden");
  columns.heads = row.count("heads");
  columns.kv_heads = row.count("kv_heads");
  columns.vocabulary = row.count("vocab");
  if (defaults.vocabulary > 0) columns.usual_vocabulary = defaults.vocabulary;
  columns.ffn = row.count("ffn");
  columns.experts = row.count("experts");
  columns.top_k = row.count("top_k");
  columns.sequence = row.count("seq_len");
  columns.like = mapping.like(columns.name);
  const std::string gated = row.text("gated_mlp");
  if (gated == "0" || gated == "1") columns.gated = gated == "1";
  MESHPLAN_CHECK(row.finish());
  Result<Model> made = model_from_columns(columns);
  if (!made.ok()) {
    Diagnostic refused = at(made.error(), row.where());
    if (!columns.layers || !columns.hidden) refused.rule = kStatesTooLittle;
    return refused;
  }
  // A published run had positions for its sequence.
  made->max_positions = std::max(made->max_positions, columns.sequence.value_or(0));
  for (const auto& line : made->assumptions) chosen.push_back("model: " + line);
  return made;
}

}  // namespace meshplan
