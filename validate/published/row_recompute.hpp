// SPDX-License-Identifier: Apache-2.0
// What may a published run have recomputed? What its row says; where that is open what the source's
// recipes set, then what its trainer does by default and more until it fits.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/plan/plan.hpp"
#include "validate/published/case.hpp"
#include "validate/published/mapping.hpp"
#include "validate/published/question_row.hpp"

namespace meshplan {

/// "", "none", "off", "0", "false" -> none; "selective", "core_attn", "mlp,layernorm", ... ->
/// selective with the modules named; "full", "1", "block", ... -> full; "full:5" -> full, of 5
/// layers per chunk of a stage (Megatron-Core's recompute_num_layers by block).
struct RecomputeWords {
  bool stated = false;
  Recompute kind = Recompute::none;
  int64_t layers = 0;    ///< of a chunk of a stage, recomputed in full; 0: all
  uint32_t modules = 0;  ///< bit set of Module; 0: what the trainer means by the word
};
Result<RecomputeWords> recompute_words(const std::string& text);

/// What a row may have recomputed.
struct RowRecompute {
  RecomputeChoice choice;
  int64_t layers = 0;  ///< of each chunk of a stage, where that is stated; 0: the choice's share
};

/// One choice where the row states it; else the trainer's default, then more and more until it
/// fits: what selective means, everything but products, quarters of the layers, everything.
Result<std::vector<RowRecompute>> recompute_of(QuestionRow& row, const TrainerDefaults& defaults,
                                               Question& question);

/// Modules that "selective" means for a trainer where a row names none.
uint32_t modules_of(SelectiveMeaning meaning);
/// What runs again at little cost: norms, rotation, the core of attention, activations.
uint32_t cheap_modules();
/// The MLP and what experts do.
uint32_t expert_modules();

}  // namespace meshplan
