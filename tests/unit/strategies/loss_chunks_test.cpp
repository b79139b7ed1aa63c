// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/live_range.hpp"
#include "strategies/program/lower.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("a loss in parts: the same products, logits of one part at a time") {
  const Model model = *find_model("llama3-8b");
  const Batch batch{4096, 8};
  Plan plan;
  Trainer trainer;
  const auto head = [&](int chunks) {
    trainer.loss_chunks = chunks;
    return lower_block({model, plan, batch, trainer}, {BlockKind::Role::head});
  };
  const auto multiplications = [](const Block& block) {
    int64_t sum = 0;
    for (const Phase phase : {Phase::forward, Phase::backward})
      for (const Op& op : block.ops(phase))
        if (const auto* gemm = std::get_if<Gemm>(&op.body)) sum += gemm->m * gemm->n * gemm->k;
    return sum;
  };
  for (const bool sequence_parallel : {false, true}) {
    plan.tp = sequence_parallel ? 4 : 1;
    plan.sequence_parallel = sequence_parallel;
    const Block whole = head(1), parts = head(8);
    CHECK(multiplications(parts) == multiplications(whole));
    const int64_t logits = batch.sequence * model.vocabulary / plan.tp * 2;
    CHECK(memory_of(whole).backward_peak > logits);
    CHECK(memory_of(parts).forward_peak < logits);
    CHECK(memory_of(parts).backward_peak - memory_of(head(16)).backward_peak > logits / 16);
    // Nothing of the logits outlives the forward pass, which makes none.
    for (const Op& op : parts.ops(Phase::forward))
      CHECK_FALSE(std::holds_alternative<Gemm>(op.body));
    for (const Op& op : parts.ops(Phase::weight))
      CHECK_FALSE(std::holds_alternative<Gemm>(op.body));
  }
}
