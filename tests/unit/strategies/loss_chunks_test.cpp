// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

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
  const auto products = [](const Block& block, Phase phase) {
    const std::vector<Op>& ops = block.ops(phase);
    return std::count_if(ops.begin(), ops.end(),
                         [](const Op& op) { return std::holds_alternative<Gemm>(op.body); });
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
    CHECK(products(parts, Phase::forward) == 0);
    CHECK(products(parts, Phase::backward) == 3 * 8);
    // A part's logits are gone before the next one's: its weight gradient cannot wait.
    plan.schedule = ScheduleKind::zb_h1;
    CHECK(products(head(1), Phase::weight) == 1);
    CHECK(products(head(8), Phase::weight) == 0);
    plan.schedule = ScheduleKind::one_f_one_b;
  }
}
