// SPDX-License-Identifier: Apache-2.0
// Which model does a row of a table of published runs mean?
//
// Such a row gives a name and some of the shape (layers, hidden size, ...). A bundled model of that
// name, or of the beginning of that name ("Llama3-70B 12-layer slice"), fills what the columns
// leave open; without one, the shape comes from the columns and from a size in the name ("GPT
// 195B"), by rules that are written into Model::assumptions.
#pragma once
#include <optional>
#include <string>

#include "strategies/model/model.hpp"

namespace meshplan {

struct ModelColumns {
  std::string name;
  std::optional<int64_t> layers, hidden, heads, kv_heads, vocabulary;
  std::optional<int64_t> usual_vocabulary;  ///< where none is stated and the name tells nothing
  std::optional<int64_t> ffn;               ///< MLP width; of one expert for a mixture of experts
  std::optional<bool> gated;                ///< SwiGLU: Llama-like; else GPT-like
  std::optional<int64_t> experts, top_k;
  std::optional<int64_t> sequence;  ///< rows of a learned position table
  std::string like;  ///< bundled model whose norm, biases, activation and positions a model of an
                     ///< unknown name has; "": those of a Llama or a GPT, by `gated`
};

/// Error (input): neither columns nor name tell a size, or columns contradict each other.
Result<Model> model_from_columns(const ModelColumns& columns);

/// Bundled model whose id or alias equals `name` but for case, spaces, hyphens and what stands in
/// parentheses; empty if there is none.
std::optional<Model> bundled_by_loose_name(const std::string& name);

}  // namespace meshplan
