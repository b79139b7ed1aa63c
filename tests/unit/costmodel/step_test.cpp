// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/compose.hpp"
#include "costmodel/step/estimate.hpp"
#include "costmodel/step/op_price.hpp"
#include "costmodel/step/phase_time.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

/// What operations on this GPU are priced by.
struct Tables {
  KernelTables kernels;
  CollectiveModel collectives;
};
Tables tables_of(const std::string& id) {
  const auto gpu = find_gpu(id);
  REQUIRE(gpu.ok());
  const auto kernels = KernelTables::load(*gpu);
  const auto collectives = CollectiveModel::load(*gpu);
  REQUIRE(kernels.ok());
  REQUIRE(collectives.ok());
  return {*kernels, *collectives};
}

/// `count` blocks of which a stage is made, one block a chunk; seconds each.
struct Blocks {
  PassPrice pass;
  StatePrice state;
  Stage stage;
  Blocks(double forward, double backward, double gather, double reduce, int chunks) {
    pass.forward.wall = pass.forward.gemm = forward;
    pass.backward.wall = pass.backward.gemm = backward;
    state.gather.wall = gather;
    state.reduce.wall = reduce;
    state.gather_when = When::first_micro_batch;
    state.reduce_when = When::last_micro_batch;
    stage.chunks.assign(static_cast<size_t>(chunks), Chunk{{{0, 0, 1}}});
  }
  StagePrice composed(const ScheduleShape& shape) const {
    return compose_stage(stage, {{&pass}, {&state}}, Trainer{}, shape, 0);
  }
};

}  // namespace

TEST_CASE("rounds of an interleaved schedule hide what is gathered and reduced once a step") {
  // Two chunks, four micro-batches a round. Forward: the first gather (3 s) is waited for; the
  // second ends at 6 s, while the round of the first chunk ends at 3 + 4 * 1 s.
  // Backward: chunk 1's last micro-batch ends at 4 * 2 s, its reduction at 13 s; chunk 0's ends at
  // 16 s, its reduction at 21 s, 5 s after the last backward.
  const Blocks blocks(1, 2, 3, 5, 2);
  const StagePrice interleaved = blocks.composed({ScheduleKind::interleaved, 4, 2, 8});
  CHECK(interleaved.gather_s == Approx(3));
  CHECK(interleaved.reduce_s == Approx(5));
  // Rounds of two hide less: the second gather ends 1 s late, the second reduction waits 1 s.
  const StagePrice shorter = blocks.composed({ScheduleKind::interleaved, 2, 2, 8});
  CHECK(shorter.gather_s == Approx(4));
  CHECK(shorter.reduce_s == Approx(6));
}

TEST_CASE("the engine of a pipeline holds the logits of the micro-batch before") {
  PassPrice embedding, layer, head;
  layer.memory.saved = 20;
  head.memory.saved = 10;
  head.memory.output = 100;
  const StatePrice state;
  const PricedKinds kinds{{&embedding, &layer, &head}, {&state, &state, &state}};
  Stage last{{Chunk{{{1, 4, 2}, {2, -1, 1}}}}};
  Trainer trainer;
  const auto saved = [&](bool freed, bool held) {
    trainer.deallocate_pipeline_outputs = freed;
    trainer.logits_held = held;
    return stage_chunks(last, kinds, trainer).front().saved;
  };
  CHECK(saved(true, true) == 2 * 20 + 10);
  CHECK(saved(false, true) == 2 * 20 + 10 + 100);
  CHECK(saved(false, false) == 2 * 20 + 10);
  last.chunks.front().runs.insert(last.chunks.front().runs.begin(), {0, -1, 1});
  CHECK(saved(false, true) == 2 * 20 + 10);  // the whole model: no pipeline
}

TEST_CASE("layers of a fully sharded model on the host, but for two") {
  PassPrice end, layer;
  layer.memory.saved = 20;
  StatePrice state;
  state.freed = true;
  const PricedKinds kinds{{&end, &layer, &end}, {&state, &state, &state}};
  Stage whole{{Chunk{{{0, -1, 1}, {1, 0, 10}, {2, -1, 1}}}}};
  Trainer trainer;
  const auto chunk = [&](double share) {
    trainer.layers_on_host_share = share;
    return stage_chunks(whole, kinds, trainer).front();
  };
  CHECK(chunk(0).saved == 10 * 20);
  CHECK(chunk(0.5).saved == 5 * 20);
  CHECK(chunk(0.5).on_host == 5 * 20);
  CHECK(chunk(1).saved == 2 * 20);
  CHECK(chunk(1).on_host == 8 * 20);
  state.freed = false;  // not fully sharded
  CHECK(chunk(1).saved == 10 * 20);
  state.freed = true;
  whole.chunks.front().runs.pop_back();  // a stage of a pipeline
  CHECK(chunk(1).on_host == 0);
}

TEST_CASE("what an allocator and autograd hold beyond the tensors in use") {
  Trainer trainer;
  Plan plan;
  Cluster cluster;
  cluster.gpu.memory_usable_bytes = int64_t{1} << 40;
  BlockMemory states;
  states.placeholders = 64;
  const auto peak = [&] {
    return memory_of({{0, 1000, 400, 0, 0, &states}}, plan, 2, trainer, cluster, Constants{})
        .peak_bytes;
  };
  trainer.loss_in_place = false;
  trainer.wgrad_accumulation_fused = false;
  plan.gradient = DType::fp32;
  const int64_t apart = peak();
  plan.gradient = DType::bf16;  // of autograd's own, in what the loss freed: 400 lost, not 200
  CHECK(peak() - apart == 200);
  trainer.loss_in_place = true;
  CHECK(peak() == apart);
  trainer.weight_gradient_placeholders = true;
  CHECK(peak() - apart == 64);
  trainer.adapters_only = true;
  CHECK(peak() == apart);
}

TEST_CASE("receive buffers: one for each micro-batch and neighbour") {
  Model model = *find_model("llama3-8b");
  Plan plan;
  plan.pp = 4;
  plan.tp = 2;
  plan.sequence_parallel = true;
  const Batch batch{4096, 16};
  Trainer trainer;
  const LowerContext lower{model, plan, batch, trainer};
  ScheduleShape shape{ScheduleKind::one_f_one_b, 4, 1, 16};
  CHECK(received_bytes(lower, shape, 1) == 0);
  trainer.pipeline_receives_kept = true;
  const int64_t sent = 4096 / 2 * 4096 * 2;
  CHECK(received_bytes(lower, shape, 0) == 16 * sent);
  CHECK(received_bytes(lower, shape, 1) == 2 * 16 * sent);
  CHECK(received_bytes(lower, shape, 3) == 16 * sent);
  shape = {ScheduleKind::interleaved, 4, 2, 16};
  CHECK(received_bytes(lower, shape, 0) == 3 * 16 * sent);  // of virtual stages 0 and 4
}

TEST_CASE("an exchange of experts that sends a token once to each place") {
  const Tables tables = tables_of("h100-sxm5-80gb");
  const Trainer trainer;
  PriceContext context{tables.kernels, tables.collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::ep)];
  links.ranks = 16;
  links.ranks_per_node = 8;
  links.nodes = links.hosts = 2;
  links.nvlink = true;
  links.nvlink_domain_ranks = 8;
  links.intra_bytes_per_s = 450e9;
  links.inter_bytes_per_s = links.alltoall_inter_bytes_per_s = links.p2p_bytes_per_s = 50e9;
  links.inter_latency_s = 3e-6;
  const double bytes = 8e9;      // long enough for latencies not to matter
  context.network_slowdown = 2;  // not for these: they were measured as a trainer calls them
  const auto seconds = [&](double reach, int64_t map_bytes = 0) {
    Collective op{CollectiveOp::all_to_all, Group::ep, static_cast<int64_t>(bytes), DType::bf16};
    op.copies = 8;
    op.reach = reach;
    op.map_bytes = map_bytes;
    return price(Op{op, Module::dispatch, {}, {}}, context).seconds;
  };
  // 1 GB of tokens. A token goes to the other node with 1 - 2^-8, over 0.67 of 50 GB/s; inside, to
  // 16 (1 - (15/16)^8) = 6.45 ranks over 0.834 of 450 GB/s: 17 ms, hidden.
  CHECK(seconds(1) == Approx(0.1e-3 + 255.0 / 256 / 33.5));
  // Limited to half of the ranks, one node of two: every second token crosses.
  CHECK(seconds(0.5) == Approx(0.1e-3 + 0.5 / 33.5));
  // The map of tokens to experts is gathered first, across nodes at 175 GB/s after 0.12 ms.
  CHECK(seconds(1, 175'000'000) - seconds(1) == Approx(1.12e-3));
  links.nodes = links.hosts = 1;
  links.ranks_per_node = 16;
  CHECK(seconds(1, 175'000'000) == seconds(1));
}

TEST_CASE("an exchange of experts beside the work of another micro-batch") {
  const Tables tables = tables_of("gb200");
  const Trainer trainer;
  PriceContext context{tables.kernels, tables.collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::ep)];
  links.ranks = links.ranks_per_node = 8;
  links.nvlink = true;
  links.intra_bytes_per_s = 900e9;
  Block block;
  for (int i = 0; i < 4; ++i) block.buffers.push_back({"x", BufferClass::activation});
  Collective sent{CollectiveOp::all_to_all, Group::ep, int64_t{4} << 30, DType::bf16};
  sent.copies = 8;
  const Op exchange{sent, Module::dispatch, {0}, {1}};
  const Op product{Gemm{8192, 8192, 8192}, Module::experts, {1, 2}, {3}};
  block.ops(Phase::forward) = {exchange, product};
  const double a = price(exchange, context).seconds, b = price(product, context).seconds;
  REQUIRE(a > b);
  StreamRules rules;
  rules.overlap_slowdown = 0.5;
  CHECK(phase_time(block, Phase::forward, context, rules).wall == Approx(a + b));
  // The product of another micro-batch hides b of it and is slowed down by half of that.
  rules.overlap_experts = true;
  const PhaseTime beside = phase_time(block, Phase::forward, context, rules);
  CHECK(beside.wall == Approx(a + b / 2));
  CHECK(beside.exposed[static_cast<size_t>(Group::ep)] == Approx(a - b));
}

TEST_CASE("a small kernel waits for its launch; in a CUDA graph for less") {
  const Tables tables = tables_of("h100-sxm5-80gb");
  Trainer trainer;
  const PriceContext context{tables.kernels, tables.collectives, trainer, DType::bf16, {}};
  Block block;
  for (int i = 0; i < 2; ++i) block.buffers.push_back({"x", BufferClass::activation});
  const Op small{Elementwise{ElementwiseKind::add, 8, 32, 16}, Module::router, {0}, {1}};
  block.ops(Phase::forward) = {small};
  StreamRules rules;
  rules.kernel_launch_s = 1e-3;
  rules.graph_launch_s = 1e-4;
  CHECK(phase_time(block, Phase::forward, context, rules).wall == Approx(1e-3));
  trainer.graphed_modules = bit(Module::router);
  CHECK(phase_time(block, Phase::forward, context, rules).wall == Approx(1e-4));
  trainer.graphed_modules = bit(Module::qkv);
  CHECK(phase_time(block, Phase::forward, context, rules).wall == Approx(1e-3));
}

TEST_CASE("8-bit products of experts with an operand each are launched one by one") {
  const Tables tables = tables_of("h100-sxm5-80gb");
  Trainer trainer;
  const PriceContext context{tables.kernels, tables.collectives, trainer, DType::fp8, {}};
  Gemm product{4096, 2048, 768, 16};
  const auto launches = [&] {
    return price(Op{product, Module::experts, {}, {}}, context).kernels;
  };
  CHECK(launches() == Approx(1 + 1.6));
  trainer.expert_operands_apart = true;
  CHECK(launches() == Approx(1 + 1.6));  // 16 bit
  product.in = DType::fp8;
  CHECK(launches() == Approx(1 + 16 * 8.0 / 3));
  product.groups = 1;
  CHECK(launches() == 1);
}

TEST_CASE("what nothing hides waits for the last rank") {
  const Tables tables = tables_of("h100-sxm5-80gb");
  Trainer trainer;
  PriceContext context{tables.kernels, tables.collectives, trainer, DType::bf16, {}};
  GroupLinks& links = context.links[static_cast<size_t>(Group::tp)];
  links.ranks = links.ranks_per_node = 8;
  links.nvlink = true;
  links.intra_bytes_per_s = 450e9;
  Block block;
  for (int i = 0; i < 3; ++i) block.buffers.push_back({"x", BufferClass::activation});
  const Collective sum{CollectiveOp::all_reduce, Group::tp, int64_t{32} << 20, DType::bf16};
  block.ops(Phase::forward) = {{Gemm{8192, 8192, 8192}, Module::experts, {0}, {1}},
                               {sum, Module::experts, {1}, {2}}};
  const auto wall = [&](TpOverlap overlap, double skew) {
    trainer.tp_overlap = overlap;
    StreamRules rules;
    rules.rank_skew_s = skew;
    return phase_time(block, Phase::forward, context, rules).wall;
  };
  // 1.4236: expected maximum of 8 standard normal values.
  CHECK(wall(TpOverlap::none, 1e-4) - wall(TpOverlap::none, 0) == Approx(1.4236e-4).epsilon(0.01));
  CHECK(wall(TpOverlap::bulk, 1e-4) == Approx(wall(TpOverlap::bulk, 0)));
  // A second sum at once finds them together.
  const double skew = wall(TpOverlap::none, 1e-4) - wall(TpOverlap::none, 0);
  block.ops(Phase::forward).push_back({sum, Module::experts, {2}, {1}});
  CHECK(wall(TpOverlap::none, 1e-4) - wall(TpOverlap::none, 0) == Approx(skew));
  links.ranks = links.ranks_per_node = 1;
  CHECK(wall(TpOverlap::none, 1e-4) == Approx(wall(TpOverlap::none, 0)));
}

TEST_CASE("ranks of a stage that agree on 8-bit scales wait for more of them on more GPUs") {
  auto trainer = find_trainer("nemo-2024");
  REQUIRE(trainer.ok());
  Plan plan;
  plan.tp = 4;
  plan.pp = 2;
  plan.vpp = 2;
  plan.schedule = ScheduleKind::interleaved;
  plan.zero = 1;
  const auto part = [&](int dp, DType compute) {
    plan.dp_shard = dp;
    plan.compute = compute;
    const auto step = estimate_step(*find_model("llama3-8b"), plan, Batch{8192, 8L * dp}, *trainer,
                                    *find_cluster(std::to_string(dp) + "x8xH100"));
    if (!step.ok()) FAIL(render(step.error()));
    double seconds = 0;
    for (const Part& one : step->time)
      if (one.name == "8-bit scales, exposed") seconds += one.value;
    return seconds;
  };
  // 8 micro-batches of 2 chunks, forward and backward: 32 times, by 4 ranks of a node and more.
  CHECK(part(1, DType::bf16) == 0);
  const double few = part(1, DType::fp8), many = part(64, DType::fp8);
  CHECK(few > 32 * 8e-5);
  CHECK(few < 32 * 15e-5);
  CHECK(many > 2 * few);
  trainer->scales_agreed_by_stage = false;
  CHECK(part(64, DType::fp8) == 0);
}

TEST_CASE("a chain of blocks is slowed by what its collectives take") {
  // Gathers of 1 s hide behind 10 blocks of 2 s each but for the first one; half as many channels,
  // half the slowdown of the 9 s that overlap.
  for (const double occupancy : {1.0, 0.5}) {
    PassPrice pass;
    pass.forward.wall = pass.forward.gemm = 2;
    StatePrice state;
    state.gather.wall = 1;
    state.gather.occupied = occupancy;
    state.gather_when = When::each_micro_batch;
    Stage stage;
    stage.chunks.push_back({{{0, 0, 10}}});
    const StagePrice price = compose_stage(stage, {{&pass}, {&state}}, Trainer{}, {}, 0.4);
    CHECK(price.chunks.front().forward.slowdown == Approx(0.4 * occupancy * 9));
    CHECK(price.chunks.front().forward.wall == Approx(21 + 0.4 * occupancy * 9));
  }
}

}  // namespace meshplan
