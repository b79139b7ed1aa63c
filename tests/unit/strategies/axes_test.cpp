// SPDX-License-Identifier: Apache-2.0
// What each axis beside tensor parallelism moves and keeps, against counts by hand.
#include <map>

#include "strategies/program/live_range.hpp"
#include "strategies/program/lower.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

constexpr int64_t kS = 4096, kH = 512, kF = 2048, kExperts = 8, kTopK = 2;

/// Multi-head attention without biases: k and v of a token are 2 h values.
Model llama() {
  Model model;
  model.layers = 4;
  model.hidden = kH;
  model.heads = model.kv_heads = 8;
  model.head_dim = 64;
  model.intermediate = kF;
  model.vocabulary = 32000;
  return model;
}

struct Case {
  Model model = llama();
  Plan plan;
  Batch batch{kS, 16};
  Trainer trainer{};
  LayerKind kind = LayerKind::dense;

  Block layer() const {
    const LowerContext context{model, plan, batch, trainer};
    Block block = lower_block(context, {BlockKind::Role::layer, kind, 0, false});
    lay_out_states(context, block);
    return block;
  }
};

/// How often each collective over `group` moves how many bytes in a phase.
using Moved = std::map<std::pair<CollectiveOp, int64_t>, int>;
Moved moved(const Block& block, Phase phase, Group group) {
  Moved out;
  for (const Op& op : block.ops(phase)) {
    const auto* collective = std::get_if<Collective>(&op.body);
    if (collective != nullptr && collective->group == group)
      ++out[{collective->op, collective->bytes}];
  }
  return out;
}

/// Bytes that copies of a phase read and write.
int64_t copied(const Block& block, Phase phase) {
  int64_t bytes = 0;
  for (const Op& op : block.ops(phase)) {
    const auto* one = std::get_if<Elementwise>(&op.body);
    if (one != nullptr && one->kind == ElementwiseKind::copy)
      bytes += one->read_bytes + one->written_bytes;
  }
  return bytes;
}

}  // namespace

TEST_CASE("context parallelism: k and v gathered, passed round, or exchanged for heads") {
  Case c;
  c.plan.cp = 4;
  const int64_t whole = 2 * kS * kH;  // k (or v) of the sequence in 16 bit
  const int64_t own = whole / 4;
  SECTION("all-gather: twice forward; again backward, and two gradients scattered") {
    c.plan.cp_kind = ContextParallel::all_gather;
    const Block layer = c.layer();
    CHECK(moved(layer, Phase::forward, Group::cp) == Moved{{{CollectiveOp::all_gather, whole}, 2}});
    CHECK(
        moved(layer, Phase::backward, Group::cp) ==
        Moved{{{CollectiveOp::all_gather, whole}, 2}, {{CollectiveOp::reduce_scatter, whole}, 2}});
  }
  SECTION("ring: 3 hops of k and v forward; backward those and 4 of their gradients") {
    c.plan.cp_kind = ContextParallel::ring;
    const Block layer = c.layer();
    CHECK(moved(layer, Phase::forward, Group::cp) ==
          Moved{{{CollectiveOp::ring_exchange, own}, 2 * 3}});
    CHECK(moved(layer, Phase::backward, Group::cp) ==
          Moved{{{CollectiveOp::ring_exchange, own}, 2 * 3 + 2 * 4}});
  }
  SECTION("all-to-all: q, k, v and the output forward, their gradients backward") {
    c.plan.cp_kind = ContextParallel::all_to_all;
    const Block layer = c.layer();
    CHECK(moved(layer, Phase::forward, Group::cp) == Moved{{{CollectiveOp::all_to_all, own}, 4}});
    CHECK(moved(layer, Phase::backward, Group::cp) == Moved{{{CollectiveOp::all_to_all, own}, 4}});
  }
}

TEST_CASE("HSDP: gradients scattered over the shards, their parts summed over the copies") {
  Case c;
  c.plan.dp_shard = 4;
  c.plan.dp_replicate = 2;
  c.trainer.reduce = DType::fp32;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  SECTION("zero 2") {
    c.plan.zero = 2;
    const Block layer = c.layer();
    CHECK(moved(layer, Phase::reduce, Group::shard) ==
          Moved{{{CollectiveOp::reduce_scatter, 4 * n}, 1}});
    CHECK(moved(layer, Phase::reduce, Group::replicate) ==
          Moved{{{CollectiveOp::all_reduce, 4 * n / 4}, 1}});
    CHECK(moved(layer, Phase::gather, Group::shard) ==
          Moved{{{CollectiveOp::all_gather, 2 * n}, 1}});
  }
  SECTION("zero 2 of a trainer that sums whole gradients on all ranks") {
    const auto whole = [&](int zero) {
      c.plan.zero = zero;
      bool out = false;
      const Block layer = c.layer();
      for (const Op& op : layer.ops(Phase::reduce))
        if (const auto* sum = std::get_if<Collective>(&op.body); sum && sum->group == Group::shard)
          out = sum->whole;
      return out;
    };
    CHECK_FALSE(whole(2));
    c.trainer.zero_all_reduces = 2;
    CHECK(whole(2));
    CHECK_FALSE(whole(3));
  }
  SECTION("FSDP with resharding gathers in each micro-batch, without it once") {
    c.plan.zero = 3;
    CHECK(c.layer().gather_when == When::each_micro_batch);
    c.plan.reshard_after_forward = false;
    CHECK(c.layer().gather_when == When::first_micro_batch);
  }
  SECTION("plain data parallelism: one all-reduce over the copies") {
    c.plan.dp_shard = 1;
    c.plan.dp_replicate = 8;
    const Block layer = c.layer();
    CHECK(moved(layer, Phase::reduce, Group::replicate) ==
          Moved{{{CollectiveOp::all_reduce, 4 * n}, 1}});
    CHECK(moved(layer, Phase::gather, Group::shard).empty());
  }
}

TEST_CASE("an optimizer on the host takes its 12 bytes a parameter off the GPU") {
  Case c;
  c.plan.dp_shard = 4;
  c.plan.zero = 1;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  CHECK(memory_of(c.layer()).optimizer == 12 * n / 4);
  CHECK(memory_of(c.layer()).host == 0);
  c.plan.optimizer_offload = true;
  const BlockMemory memory = memory_of(c.layer());
  CHECK(memory.optimizer == 0);
  CHECK(memory.host == 12 * n / 4);
}

TEST_CASE("experts over ranks: a copy of a token for each of its experts, there and back") {
  Case c;
  c.model.moe = Moe{};
  c.model.moe->experts = kExperts;
  c.model.moe->top_k = kTopK;
  c.model.moe->expert_intermediate = kF;
  c.kind = LayerKind::moe;
  c.plan.dp_shard = 4;
  const int64_t copies = 2 * kS * kTopK * kH;
  SECTION("ep 4: two exchanges forward, two backward; each rank holds a quarter of the experts") {
    c.plan.ep = 4;
    const Block layer = c.layer();
    for (const Phase phase : {Phase::forward, Phase::backward})
      CHECK(moved(layer, phase, Group::ep) == Moved{{{CollectiveOp::all_to_all, copies}, 2}});
    int64_t expert_values = 0;
    for (const Parameter& parameter : layer.parameters)
      if (parameter.expert) expert_values += layer.buffer(parameter.weight).elements();
    CHECK(expert_values == kExperts / 4 * 3 * kH * kF);
  }
  SECTION("which token goes where is gathered on the way there, once, where tokens are sent once") {
    c.plan.ep = 4;
    const auto maps = [&](Phase phase) {
      std::vector<int64_t> bytes;
      const Block layer = c.layer();
      for (const Op& op : layer.ops(phase)) {
        const auto* sent = std::get_if<Collective>(&op.body);
        if (sent != nullptr && sent->group == Group::ep) bytes.push_back(sent->map_bytes);
      }
      return bytes;
    };
    c.trainer.ep_sends_once = true;
    CHECK(maps(Phase::forward) == std::vector<int64_t>{4 * kS * kExperts, 0});
    CHECK(maps(Phase::backward) == std::vector<int64_t>{0, 0});
    c.trainer.ep_sends_once = false;
    CHECK(maps(Phase::forward) == std::vector<int64_t>{0, 0});
  }
  SECTION("per-operation recompute: experts' products again, what they exchange is kept") {
    c.plan.ep = 4;
    const auto grouped = [&] {
      const Block layer = c.layer();
      const auto& ops = layer.ops(Phase::backward);
      return std::count_if(ops.begin(), ops.end(), [](const Op& op) {
        const auto* product = std::get_if<Gemm>(&op.body);
        return product != nullptr && product->groups > 1;
      });
    };
    const auto sent = moved(c.layer(), Phase::backward, Group::ep);
    const auto products = grouped();
    const int64_t saved = memory_of(c.layer()).saved;
    c.plan.recompute = Recompute::selective;
    c.plan.recompute_modules = recompute_unit("per-operation");
    CHECK(moved(c.layer(), Phase::backward, Group::ep) == sent);
    CHECK(grouped() > products);
    // Both inputs of the activation and its output, at the least.
    CHECK(saved - memory_of(c.layer()).saved >= 3 * copies / kH * kF);
  }
  SECTION("uneven routing: the fullest rank's copies and products") {
    c.plan.ep = 4;
    c.trainer.expert_load_ratio = 1.5;
    const Block layer = c.layer();
    for (const Phase phase : {Phase::forward, Phase::backward})
      CHECK(moved(layer, phase, Group::ep) ==
            Moved{{{CollectiveOp::all_to_all, copies * 3 / 2}, 2}});
    const auto rows = [&] {
      int64_t count = 0;
      const Block of = c.layer();
      for (const Op& op : of.ops(Phase::forward))
        if (const auto* product = std::get_if<Gemm>(&op.body); product && product->groups > 1)
          count = product->m * product->groups;
      return count;
    };
    CHECK(rows() == copies / 2 / kH * 3 / 2);
    c.plan.ep = 1;  // all experts on each rank: its own tokens' copies
    CHECK(rows() == copies / 2 / kH);
  }
  SECTION("latent experts: what is exchanged and what the experts hold shrinks with the width") {
    c.plan.ep = 4;
    const int64_t wide = parameters_of_layer(c.model, LayerKind::moe);
    c.model.moe->latent = kH / 4;
    for (const Phase phase : {Phase::forward, Phase::backward})
      CHECK(moved(c.layer(), phase, Group::ep) ==
            Moved{{{CollectiveOp::all_to_all, copies / 4}, 2}});
    CHECK(parameters_of_layer(c.model, LayerKind::moe) ==
          wide - kExperts * 3 * (kH - kH / 4) * kF + 2 * kH * (kH / 4));
  }
  SECTION("copies into multiples of a scale's block, of 8-bit experts alone") {
    const int64_t before = copied(c.layer(), Phase::forward);
    c.trainer.experts_padded = true;
    CHECK(copied(c.layer(), Phase::forward) == before);
    c.plan.compute = DType::fp8;
    const int64_t unpadded = [&] {
      Case other = c;
      other.trainer.experts_padded = false;
      return copied(other.layer(), Phase::forward);
    }();
    // There and back, each read and written.
    for (const Phase phase : {Phase::forward, Phase::backward})
      CHECK(copied(c.layer(), phase) == unpadded + 4 * copies);
  }
  SECTION("an expert's output bias by single operations: 28 bytes an element, backward 40") {
    c.model.moe->expert_bias = true;
    const int64_t ahead = copied(c.layer(), Phase::forward);
    const int64_t back = copied(c.layer(), Phase::backward);
    c.trainer.expert_bias_clamp_apart = true;
    CHECK(copied(c.layer(), Phase::forward) == ahead + 28 * copies / 2);
    CHECK(copied(c.layer(), Phase::backward) == back + 40 * copies / 2);
  }
  SECTION(
      "a limit of the experts' activation by single operations: 8 bytes an element, backward 15") {
    c.model.activation_limit = 7;
    const int64_t ahead = copied(c.layer(), Phase::forward);
    const int64_t back = copied(c.layer(), Phase::backward);
    c.trainer.expert_bias_clamp_apart = true;
    const int64_t in = 2 * (copies / 2 / c.model.hidden) * c.model.moe->expert_intermediate;
    CHECK(copied(c.layer(), Phase::forward) == ahead + 8 * in);
    CHECK(copied(c.layer(), Phase::backward) == back + 15 * in);
    // Made again where the experts' activation is recomputed.
    c.plan.recompute = Recompute::selective;
    c.plan.recompute_modules = recompute_unit("moe-activation");
    CHECK(copied(c.layer(), Phase::backward) == back + (15 + 8) * in);
  }
  SECTION("a plain all-to-all's tokens are put in order of experts and back") {
    c.plan.ep = 4;
    c.trainer.ep_sends_once = false;
    const int64_t ahead = copied(c.layer(), Phase::forward);
    c.trainer.expert_chunks_sorted = true;
    CHECK(copied(c.layer(), Phase::forward) == ahead + 4 * copies);
    c.plan.ep = static_cast<int>(c.model.moe->experts);  // one expert a rank: nothing to sort
    CHECK(copied(c.layer(), Phase::forward) == ahead);
  }
  SECTION("etp 2 gathers the tokens of both ranks and scatters their sums") {
    c.plan.tp = 2;
    c.plan.sequence_parallel = true;
    c.plan.etp = 2;
    const Block layer = c.layer();
    // Each of the two ranks brings the copies of its half of the sequence.
    CHECK(moved(layer, Phase::forward, Group::etp) ==
          Moved{{{CollectiveOp::all_gather, copies}, 1},
                {{CollectiveOp::reduce_scatter, copies}, 1}});
    CHECK(moved(layer, Phase::backward, Group::etp) ==
          Moved{{{CollectiveOp::all_gather, copies}, 1},
                {{CollectiveOp::reduce_scatter, copies}, 1}});
  }
}

TEST_CASE("full recompute of some layers: the first of each virtual stage") {
  Case c;
  c.model.layers = 8;
  c.plan.pp = 2;
  c.plan.recompute = Recompute::full;
  c.plan.recompute_layers = 3;
  const auto layout = lay_out_blocks(c.model, c.plan, 4);
  REQUIRE(layout.ok());
  for (const Stage& stage : layout->stages) {
    int recomputed = 0, others = 0;
    for (const Chunk& chunk : stage.chunks) {
      for (const BlockRun& run : chunk.runs) {
        const BlockKind& kind = layout->kinds[static_cast<size_t>(run.block)];
        if (kind.role != BlockKind::Role::layer) continue;
        (kind.recomputed ? recomputed : others) += run.count;
      }
    }
    CHECK(recomputed == 3);
    CHECK(others == 1);
  }
}
