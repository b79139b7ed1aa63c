// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/parts.hpp"

#include <fmt/format.h>

namespace meshplan {
namespace {

bool counts_vocabulary(const std::string& piece) {
  return piece == "embed_tokens.weight" || piece == "lm_head.weight";
}

/// HF's name of a piece in layer `layer`, of expert `expert` (-1: none).
std::string tensor_name(const std::string& piece, int layer, int64_t expert) {
  std::string name = piece;
  if (const size_t at = name.find("{e}"); at != std::string::npos) {
    name.replace(at, 3, std::to_string(expert));
  }
  if (layer >= 0) return fmt::format("model.layers.{}.{}", layer, name);
  return name == "lm_head.weight" ? name : "model." + name;
}

}  // namespace

FlatRange own_range(const FlatState& flat, const RankPlace& place) {
  const int64_t own = flat.elements / place.size(flat.shard);
  return {own * place.index(flat.shard), own};
}

std::vector<TensorPart> parts_of(const Program& program, const Block& block, size_t flat,
                                 const RankPlace& place, int layer) {
  const FlatState& state = block.states[flat];
  std::vector<TensorPart> parts;
  for (const Parameter& parameter : block.parameters) {
    const Buffer& weight = block.buffer(parameter.weight);
    if (parameter.tied || weight.view_of != state.weight) continue;
    const int degree = parameter.expert ? program.plan.etp : program.plan.tp;
    const int index = parameter.expert ? place.etp : place.tp;
    const bool cut_rows = parameter.tp_dim == 0, cut_cols = parameter.tp_dim == 1;
    int64_t offset = weight.view_offset;
    for (int64_t e = 0; e < std::max<int64_t>(parameter.experts, 1); ++e) {
      for (const Piece& piece : parameter.pieces) {
        TensorPart part;
        part.tensor = tensor_name(piece.name, layer, place.ep * parameter.experts + e);
        part.rows = cut_rows ? piece.rows / degree : piece.rows;
        part.cols = cut_cols ? parameter.cols / degree : parameter.cols;
        part.tensor_rows = piece.rows;
        part.tensor_cols = parameter.cols;
        part.first_row = cut_rows ? index * part.rows : 0;
        part.first_col = cut_cols ? index * part.cols : 0;
        part.flat_offset = offset;
        part.decay = parameter.decay;
        part.copies = place.size(state.replicate);
        if (!parameter.expert && parameter.tp_dim < 0) part.copies *= program.plan.tp;
        offset += part.rows * part.cols;
        if (counts_vocabulary(piece.name)) {
          const int64_t vocabulary = program.model.vocabulary;
          part.tensor_rows = vocabulary;
          part.rows = std::clamp<int64_t>(vocabulary - part.first_row, 0, part.rows);
          if (program.tied_across_stages) part.copies *= 2;
        }
        parts.push_back(std::move(part));
      }
    }
  }
  return parts;
}

}  // namespace meshplan
