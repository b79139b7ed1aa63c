// SPDX-License-Identifier: Apache-2.0
// Ten plans of the small Llama: what a rank's communicator counts in one step, against closed forms
// derived by hand (not from the step program).
//
// s = 32 tokens, B = 8 sequences, h = 32, L = 4, q 32, k and v 16 each, f = 48, vocabulary 100
// padded to V = 128. Elements: layer 64 h + h^2 + 3 h f + 2 h = 7,744; embedding V h = 4,096;
// head V h + h = 4,128; together W = 39,200, 6 blocks. fp32: 4 bytes.
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"

namespace meshplan {
namespace {

constexpr int64_t kWeights = 4 * 39200;       // bytes
constexpr int64_t kActivation = 4 * 32 * 32;  // s h of one sequence

struct Line {
  const char* group;
  Transfer transfer;
  int64_t calls, bytes;
};

void check(const Plan& plan, const std::vector<Line>& expected, size_t rank = 0,
           const Model& model = test::small_llama(),
           const Trainer& trainer = test::fp32_trainer()) {
  INFO(to_text(plan));
  RunOptions options;
  options.routing_group = 4;
  const Result<RunReport> report = test::run(model, plan, trainer, options);
  if (!report.ok()) FAIL(render(report.error()));
  Ledger counted = report->ranks[rank].ledger;
  for (const Line& line : expected) {
    INFO(line.group << " " << name_of(line.transfer));
    const auto found = counted.find({line.group, line.transfer});
    REQUIRE(found != counted.end());
    CHECK(found->second.calls == line.calls);
    CHECK(found->second.bytes == line.bytes);
    counted.erase(found);
  }
  // loss and gradient norm, two doubles; nothing else
  REQUIRE(counted.size() == 1);
  CHECK(counted.begin()->first == std::pair{std::string("world"), Transfer::all_reduce});
  CHECK(counted.begin()->second.bytes == 16);
}

TEST_CASE("ledger by hand: data parallelism") {
  Plan plan = test::fp32_plan();
  plan.dp_shard = 4;
  check(plan, {{"replicate", Transfer::all_reduce, 6, kWeights}});
  plan.zero = 1;
  check(plan, {{"shard", Transfer::all_gather, 6, kWeights},
               {"shard", Transfer::reduce_scatter, 6, kWeights}});
  // HSDP: 2 micro-batches; each reduces to halves, and the halves between the copies
  plan.zero = 2;
  plan.dp_shard = plan.dp_replicate = 2;
  check(plan, {{"shard", Transfer::all_gather, 6, kWeights},
               {"shard", Transfer::reduce_scatter, 12, 2 * kWeights},
               {"replicate", Transfer::all_reduce, 12, kWeights}});
  // 4 micro-batches, weights gathered for both passes
  plan.zero = 3;
  plan.dp_replicate = 1;
  check(plan, {{"shard", Transfer::all_gather, 48, 8 * kWeights},
               {"shard", Transfer::reduce_scatter, 24, 4 * kWeights}});
}

TEST_CASE("ledger by hand: tensor parallelism") {
  Plan plan = test::fp32_plan();
  plan.tp = 2;
  // Per sequence and layer, forward 2 gathers and 2 reduce-scatters; backward 2 of each, and 2
  // gathers of the inputs again. Embedding 1 reduce-scatter, backward 1 gather. Head 1 gather,
  // backward 1 reduce-scatter and 1 gather again. Loss: maximum s, sums 2 s numbers. Once a step:
  // norm gradients, 2 h a layer and h in the head.
  check(plan, {{"tp", Transfer::all_gather, 8 * (4 * 6 + 3), 8 * 27 * kActivation},
               {"tp", Transfer::reduce_scatter, 8 * (4 * 4 + 2), 8 * 18 * kActivation},
               {"tp", Transfer::all_reduce, 8 * 2 + 5, 8 * 3 * 32 * 4 + 4 * (4 * 64 + 32)}});
  // Without sequences: 2 all-reduces a layer and pass, 1 in the embedding, 1 behind the head.
  plan.sequence_parallel = false;
  check(plan,
        {{"tp", Transfer::all_reduce, 8 * (4 * 4 + 2 + 2), 8 * (18 * kActivation + 3 * 32 * 4)}});
}

TEST_CASE("ledger by hand: tensor parallelism in pieces") {
  Plan plan = test::fp32_plan();
  plan.tp = 4;
  Trainer trainer = test::fp32_trainer();
  trainer.tp_overlap = TpOverlap::ring;
  // Of the transfers above those next to their product go in pieces, one to each of 3 ranks: per
  // sequence and layer 2 gathers and 2 reduce-scatters forward, 2 of each backward; 1 gather and 1
  // reduce-scatter of the head. Left whole: 2 gathers again a layer and the head's, and both ends
  // of the embedding.
  check(plan,
        {{"tp", Transfer::all_to_all, 8 * (4 * 8 + 2) * 3, 8 * 34 * 3 * kActivation / 4},
         {"tp", Transfer::all_gather, 8 * (4 * 2 + 2), 8 * 10 * kActivation},
         {"tp", Transfer::reduce_scatter, 8, 8 * kActivation},
         {"tp", Transfer::all_reduce, 8 * 2 + 5, 8 * 3 * 32 * 4 + 4 * (4 * 64 + 32)}},
        0, test::small_llama(), trainer);
}

TEST_CASE("ledger by hand: pipeline") {
  Plan plan = test::fp32_plan();
  plan.pp = 4;
  check(plan, {{"pp", Transfer::send, 8, 8 * kActivation},
               {"pp", Transfer::receive, 8, 8 * kActivation}});
  check(plan,
        {{"pp", Transfer::send, 16, 16 * kActivation},
         {"pp", Transfer::receive, 16, 16 * kActivation}},
        1);
}

TEST_CASE("ledger by hand: context parallelism") {
  Plan plan = test::fp32_plan();
  plan.cp = 2;
  // k and v are gathered for both passes, their gradients scattered: s x 16 numbers each
  check(plan, {{"cp", Transfer::all_gather, 8 * 4 * 4, 8 * 4 * 4 * 2048},
               {"cp", Transfer::reduce_scatter, 8 * 4 * 2, 8 * 4 * 2 * 2048},
               {"replicate", Transfer::all_reduce, 6, kWeights}});
  // ring: k and v once round in both passes (cp - 1 hops), their gradients cp hops; halves of s
  plan.cp_kind = ContextParallel::ring;
  check(plan, {{"cp", Transfer::ring_exchange, 8 * 4 * (2 + 2 + 4), 8 * 4 * 8 * 1024},
               {"replicate", Transfer::all_reduce, 6, kWeights}});
}

TEST_CASE("ledger by hand: experts") {
  Plan plan = test::fp32_plan();
  plan.dp_shard = plan.ep = 2;
  // 4 micro-batches of 32 tokens, 2 rows each of h numbers, there and back in both passes. Each
  // expert exists once, so only the rest is reduced: a layer without its MLP but with the router,
  // 7,744 - 3 h f + 4 h = 3,264.
  check(plan,
        {{"ep", Transfer::all_to_all, 4 * 4 * 4, 4 * 4 * 4 * 64 * 32 * 4},
         {"replicate", Transfer::all_reduce, 6, 4 * (4 * 3264 + 4096 + 4128)}},
        0, test::small_moe());
}

}  // namespace
}  // namespace meshplan
