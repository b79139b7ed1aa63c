// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/live_range.hpp"

#include <algorithm>

#include "strategies/program/lower.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

Model gpt() {
  Model model;
  model.layers = 4;
  model.hidden = 1024;
  model.heads = model.kv_heads = 16;
  model.head_dim = 64;
  model.intermediate = 4096;
  model.vocabulary = 51200;
  model.norm = NormType::layer;
  model.norm_bias = true;
  model.activation = ActivationType::gelu;
  model.attention_bias = model.attention_output_bias = model.mlp_bias = true;
  model.positions = Positions::learned;
  model.position_rows = 2048;
  return model;
}

Trainer megatron_2022() {
  Trainer trainer;
  trainer.attention = AttentionKernel::materialised;
  trainer.dropout = true;
  return trainer;
}

struct Case {
  Model model = gpt();
  Plan plan;
  Batch batch{2048, 8};
  Trainer trainer = megatron_2022();
  Block layer(bool full = false) const {
    const LowerContext context{model, plan, batch, trainer};
    Block block = lower_block(context, {BlockKind::Role::layer, LayerKind::dense, 0, full});
    lay_out_states(context, block);
    return block;
  }
};

constexpr int64_t kS = 2048, kH = 1024, kA = 16;

TEST_CASE("gate and up may sum their input gradients over tp one by one") {
  Case c;
  c.model.activation = ActivationType::swiglu;
  c.plan.tp = 2;
  const auto sums = [&](CollectiveOp op) {
    const Block block = c.layer();
    const auto& ops = block.ops(Phase::backward);
    return std::count_if(ops.begin(), ops.end(), [&](const Op& each) {
      const auto* collective = std::get_if<Collective>(&each.body);
      return collective != nullptr && collective->op == op;
    });
  };
  for (const bool each : {false, true}) {
    c.trainer.tp_sums_each_product = each;
    c.plan.sequence_parallel = false;
    CHECK(sums(CollectiveOp::all_reduce) == (each ? 3 : 2));
    c.plan.sequence_parallel = true;  // gathered behind the norm, scattered once
    CHECK(sums(CollectiveOp::reduce_scatter) == 2);
  }
}

TEST_CASE("layers go to stages as the trainer deals them out") {
  Model model = *find_model("llama-65b");
  using Layers = std::vector<int>;
  Trainer trainer;
  const auto layers = [&](LayerSplit split, int stages) {
    trainer.layer_split = split;
    return layers_of_stages(trainer, model, stages);
  };
  CHECK(layers(LayerSplit::equal, 8).empty());
  CHECK(layers(LayerSplit::with_ends, 1).empty());
  // 83 modules: the embedding is the first stage's, norm and head are the last one's.
  CHECK(layers(LayerSplit::with_ends, 8) == Layers{10, 11, 11, 10, 10, 10, 10, 8});
  CHECK(layers(LayerSplit::with_ends, 4) == Layers{20, 21, 21, 18});
  // torchtitan: norm and head count as one, 82 in all; first the early stages have one more.
  trainer.head_as_layers = 1;
  CHECK(layers(LayerSplit::with_ends, 8) == Layers{10, 11, 10, 10, 10, 10, 10, 9});
  CHECK(layers_with_ends(8, 4, 0, 0) == Layers{2, 2, 2, 2});
  CHECK(layers_with_ends(8, 4, 0, 3) == Layers{3, 3, 3, 0});  // 9: the last stage has no room for 3
  trainer.head_as_layers = 2;
  // Two modules a stage: norm and head fill the last one.
  model.layers = 5;
  CHECK(layers(LayerSplit::with_ends, 4) == Layers{1, 2, 2, 0});
  // A head of 128,000 rows multiplies as much as 1.3 layers.
  model.layers = 80;
  model.vocabulary = 128000;
  CHECK(layers(LayerSplit::by_cost, 8) == Layers{11, 10, 10, 10, 10, 10, 11, 8});
}

}  // namespace

TEST_CASE("saved activations of a layer are those of Korthikanti et al. 2022") {
  Case c;
  // Statistics of the two norms (mean and inverse deviation, fp32) are not in the paper's count.
  const int64_t statistics = 2 * kS * 2 * 4;
  SECTION("equation 1: sbh (34 + 5 as/h)") {
    CHECK(memory_of(c.layer()).saved == 34 * kS * kH + 5 * kA * kS * kS + statistics);
  }
  SECTION("equation 2, tensor parallelism: sbh (10 + 24/t + 5 as/(ht))") {
    c.plan.tp = 4;
    c.plan.sequence_parallel = false;
    CHECK(memory_of(c.layer()).saved ==
          10 * kS * kH + 24 * kS * kH / 4 + 5 * kA * kS * kS / 4 + statistics);
  }
  SECTION("equation 4, sequence parallelism: all of it over t") {
    c.plan.tp = 4;
    CHECK(memory_of(c.layer()).saved == (34 * kS * kH + 5 * kA * kS * kS + statistics) / 4);
  }
  SECTION("selective recompute of the core: 34 sbh/t") {
    c.plan.tp = 4;
    c.plan.recompute = Recompute::selective;
    c.plan.recompute_modules = bit(Module::core_attention);
    CHECK(memory_of(c.layer()).saved == (34 * kS * kH + statistics) / 4);
  }
  SECTION("full recompute: the input alone, 2 sbh") {
    c.plan.recompute = Recompute::full;
    CHECK(memory_of(c.layer(true)).saved == 2 * kS * kH);
  }
}

TEST_CASE("tensor parallelism with sequences moves what Megatron moves") {
  Case c;
  c.plan.tp = 4;
  const Block layer = c.layer();
  int gathers[2] = {0, 0}, scatters[2] = {0, 0};
  for (int pass = 0; pass < 2; ++pass) {
    for (const Op& op : layer.ops(pass == 0 ? Phase::forward : Phase::backward)) {
      if (const auto* collective = std::get_if<Collective>(&op.body)) {
        CHECK(collective->group == Group::tp);
        CHECK(collective->bytes == 2 * kS * kH);
        ++(collective->op == CollectiveOp::all_gather ? gathers : scatters)[pass];
      }
    }
  }
  CHECK(gathers[0] == 2);
  CHECK(scatters[0] == 2);
  CHECK(gathers[1] == 4);  // two gradients, two inputs for weight gradients
  CHECK(scatters[1] == 2);
}

TEST_CASE("a recomputed layer may end at the last value that is read again") {
  Case c;
  c.trainer.dropout = false;
  c.trainer.fused_bias_dropout_add = true;
  c.plan.recompute = Recompute::full;
  const auto products = [&] {
    int64_t flops = 0;
    const Block block = c.layer(true);
    for (const Op& op : block.ops(Phase::backward))
      if (const auto* gemm = std::get_if<Gemm>(&op.body)) flops += 2 * gemm->m * gemm->n * gemm->k;
    return flops;
  };
  const int64_t layer = 24 * kS * kH * kH;  // products of a forward pass
  CHECK(products() == 3 * layer);
  // Nothing reads the second product of the MLP, 8 sh^2, but the sum at the end of the layer.
  c.trainer.recompute_stops_early = true;
  CHECK(products() == 3 * layer - 8 * kS * kH * kH);
}

TEST_CASE("a head holds the logits as often as its loss copies them") {
  Case c;
  c.model.vocabulary = 51200;
  const int64_t logits = kS * c.model.vocabulary;
  const auto head = [&](bool fused, bool in_place, bool shifts, bool held) {
    c.trainer.fused_cross_entropy = fused;
    c.trainer.loss_in_place = in_place;
    c.trainer.loss_shifts_copy = shifts;
    c.trainer.logits_held = held;
    const LowerContext context{c.model, c.plan, c.batch, c.trainer};
    const BlockMemory memory = memory_of(lower_block(context, {BlockKind::Role::head}));
    return std::max(memory.forward_peak, memory.backward_peak) / logits;
  };
  // Bytes of 16 bit: 2. Beside the logits the head holds less than one byte of each.
  CHECK(head(true, true, false, true) == 2);          // 16 bit, gradient in place
  CHECK(head(true, false, false, true) == 2 + 2);     // and a gradient of its own
  CHECK(head(false, true, false, true) == 2 + 4);     // 16 bit and fp32
  CHECK(head(false, true, true, true) == 2 + 4 + 4);  // and the copy without its maximum
  CHECK(head(false, false, false, true) == 2 + 3 * 4);
  CHECK(head(false, false, false, false) == 3 * 4);
  CHECK(head(false, true, true, false) == 4 + 4);
  c.trainer.fused_loss_widens = true;
  CHECK(head(true, true, false, true) == 2 + 4);  // exponentials in fp32 beside the logits
}

TEST_CASE("one of q, k and v that is a view keeps the product of all three") {
  Case c;
  c.model.positions = Positions::rope;
  c.trainer.attention = AttentionKernel::flash;
  c.trainer.dropout = false;
  const int64_t without = memory_of(c.layer()).saved;
  c.trainer.qkv_product_kept = true;
  CHECK(memory_of(c.layer()).saved - without == 2 * 2 * kS * kH);
  c.model.kv_heads = 4;  // grouped: q is a tensor of its own
  const int64_t grouped = memory_of(c.layer()).saved;
  c.trainer.qkv_product_kept = false;
  CHECK(memory_of(c.layer()).saved == grouped);
}

TEST_CASE("placeholders of weight gradients: each shape of a layer once") {
  Case c;
  // qkv 3h x h, output h x h, MLP 4h x h and h x 4h: no two are alike. Vectors are left out.
  CHECK(memory_of(c.layer()).placeholders == 2 * 12 * kH * kH);
  c.plan.tp = 4;  // 3h/4 x h, h x h/4, and h x h and h x h of the MLP
  CHECK(memory_of(c.layer()).placeholders == 2 * (3 * kH * kH / 4 + kH * kH / 4 + kH * kH));
  c.plan.tp = 1;
  c.trainer.weight_gradient_placeholders = true;
  const LowerContext context{c.model, c.plan, c.batch, c.trainer};
  const Block head = lower_block(context, {BlockKind::Role::head});
  int64_t bytes = 0;
  for (const Buffer& buffer : head.buffers)
    if (buffer.name.rfind("placeholder.", 0) == 0) bytes += buffer.bytes();
  CHECK(bytes == 2 * c.model.vocabulary * kH);
  CHECK(memory_of(head).placeholders == 0);
}

TEST_CASE("per-operation checkpoints keep the first of gate and up, and the last product") {
  Case c;
  c.model.activation = ActivationType::swiglu;
  c.trainer.attention = AttentionKernel::flash;
  c.trainer.dropout = false;
  c.plan.recompute = Recompute::selective;
  c.plan.recompute_modules = bit(Module::norm) | bit(Module::rope) | bit(Module::activation) |
                             bit(Module::residual) | bit(Module::attention_out) |
                             bit(Module::mlp_in);
  const int64_t without = memory_of(c.layer()).saved;
  c.trainer.alternate_products_kept = true;
  CHECK(memory_of(c.layer()).saved - without == 2 * kS * (4096 + kH));
}

TEST_CASE("an optimizer in the backward pass has the gradients of a block only") {
  Case c;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  c.trainer.optimizer_in_backward = c.trainer.optimizer_paged = true;
  const BlockMemory memory = memory_of(c.layer());
  CHECK(memory.resident() == 2 * n);
  CHECK(memory.whole_gradients == 4 * n);
  CHECK(memory.host == 12 * n);
}

TEST_CASE("frozen weights of fp8 adapters take a byte each") {
  Case c;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  c.plan.compute = DType::fp8;
  c.trainer.adapters_only = true;
  CHECK(memory_of(c.layer()).parameters == 2 * n);
  c.trainer.quantised_weights_kept = true;
  CHECK(memory_of(c.layer()).parameters == n);
}

TEST_CASE("an adapter of q, k and v: two thin products and a sum, four products backward") {
  Case c;
  c.trainer.adapters_only = true;
  const Block with = c.layer();
  c.trainer.adapters_only = false;
  const Block without = c.layer();
  const auto thin = [](const std::vector<Op>& ops) {
    return std::count_if(ops.begin(), ops.end(), [](const Op& op) {
      const auto* gemm = std::get_if<Gemm>(&op.body);
      return gemm != nullptr && std::min({gemm->m, gemm->n, gemm->k}) == 32;
    });
  };
  CHECK(with.ops(Phase::forward).size() == without.ops(Phase::forward).size() + 3);
  CHECK(thin(with.ops(Phase::forward)) == 2);
  CHECK(thin(without.ops(Phase::forward)) == 0);
  // The adapter's own four; the layer's four products have no weight gradients.
  CHECK(thin(with.ops(Phase::backward)) == 4);
  const auto products = [](const std::vector<Op>& ops) {
    return std::count_if(ops.begin(), ops.end(),
                         [](const Op& op) { return std::holds_alternative<Gemm>(op.body); });
  };
  CHECK(products(with.ops(Phase::backward)) == products(without.ops(Phase::backward)));
  c.trainer.adapters_only = c.trainer.adapter_on_projection = true;
  CHECK(thin(c.layer().ops(Phase::backward)) == 8);
  c.trainer.adapter_dropout = true;
  const Block dropped = c.layer();
  CHECK(dropped.ops(Phase::forward).size() == with.ops(Phase::forward).size() + 3 + 2);
}

TEST_CASE("beside adapters nothing hides the scatter of an input's gradient") {
  Case c;
  c.plan.tp = 2;
  c.plan.sequence_parallel = true;
  const auto alone = [&] {
    const Block layer = c.layer();
    const auto& ops = layer.ops(Phase::backward);
    return std::count_if(ops.begin(), ops.end(), [](const Op& op) {
      const auto* sum = std::get_if<Collective>(&op.body);
      return sum != nullptr && sum->alone;
    });
  };
  c.trainer.tp_scatter_in_pieces = false;
  CHECK(alone() == 0);
  c.trainer.adapters_only = true;
  CHECK(alone() == 2);  // of q, k and v and of the MLP's first product
  c.trainer.tp_scatter_in_pieces = true;
  CHECK(alone() == 0);
}

TEST_CASE("8-bit weights are gathered as such where the trainer does so") {
  Case c;
  c.plan.zero = 1;
  c.plan.dp_shard = 4;
  c.batch.global_sequences = 4;
  const auto gathered = [&](DType compute, bool quantised) {
    c.plan.compute = compute;
    c.trainer.quantised_weights_gathered = quantised;
    int64_t bytes = 0;
    const Block layer = c.layer();
    for (const Op& op : layer.ops(Phase::gather))
      if (const auto* sent = std::get_if<Collective>(&op.body)) bytes += sent->bytes;
    return bytes;
  };
  const int64_t bf16 = gathered(DType::bf16, true);
  CHECK(bf16 >= 2 * parameters_of_layer(c.model, LayerKind::dense));
  CHECK(gathered(DType::fp8, false) == bf16);
  CHECK(2 * gathered(DType::fp8, true) == bf16);
}

TEST_CASE("offload of a fully sharded model: weights, gradients and states lie on the host") {
  Case c;
  c.plan.zero = 3;
  c.plan.dp_shard = 4;
  c.batch.global_sequences = 4;
  c.plan.optimizer_offload = true;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  CHECK(memory_of(c.layer()).resident() == n * (2 + 4) / 4);
  c.trainer.offload_weights = true;
  CHECK(memory_of(c.layer()).resident() == 0);
  CHECK(memory_of(c.layer()).host == n * (2 + 4 + 12) / 4);
}

TEST_CASE("zero levels share out 16 bytes a parameter") {
  Case c;
  c.trainer.reduce = DType::fp32;
  c.plan.dp_shard = 4;
  c.batch.global_sequences = 4;
  const int64_t n = parameters_of_layer(c.model, LayerKind::dense);
  const auto resident = [&](int zero) {
    c.plan.zero = zero;
    return memory_of(c.layer());
  };
  CHECK(resident(0).resident() == n * (2 + 4 + 12));
  CHECK(resident(1).resident() == n * (2 + 4) + n * 12 / 4);
  CHECK(resident(2).resident() == n * 2 + n * (4 + 12) / 4);
  CHECK(resident(2).whole_gradients == n * 2);
  CHECK(resident(3).resident() == n * (2 + 4 + 12) / 4);
  CHECK(resident(3).gathered == n * 2);
}

TEST_CASE("gradients are reduced when the trainer does so") {
  Case c;
  c.batch.global_sequences = 16;
  const auto when = [&](int pp, int zero) {
    c.plan.pp = pp;
    c.plan.zero = zero;
    return c.layer().reduce_when;
  };
  CHECK(when(1, 1) == When::last_micro_batch);
  CHECK(when(1, 2) == When::each_micro_batch);
  CHECK(when(2, 2) == When::each_micro_batch);
  c.trainer.reduce_every_micro_batch = true;
  CHECK(when(1, 0) == When::each_micro_batch);
  CHECK(when(2, 0) == When::each_micro_batch);
  c.trainer.pipeline_reduces_once = true;
  CHECK(when(1, 0) == When::each_micro_batch);
  CHECK(when(2, 0) == When::last_micro_batch);
  CHECK(when(2, 3) == When::last_micro_batch);
}

TEST_CASE("126 layers on 16 stages: first and last have one less") {
  Model model = gpt();
  model.layers = 126;
  Plan plan;
  plan.pp = 16;
  auto split = layers_per_virtual_stage(model, plan);
  REQUIRE(split.ok());
  CHECK(split->front() == 7);
  CHECK(split->back() == 7);
  CHECK((*split)[1] == 8);
  plan.vpp = 8;
  split = layers_per_virtual_stage(model, plan);
  REQUIRE(split.ok());
  CHECK(split->size() == 128);
  CHECK(split->front() == 0);
  plan.layer_split = {126};
  CHECK_FALSE(layers_per_virtual_stage(model, plan).ok());
}

TEST_CASE("8-bit products cast each operand once in either pass") {
  Case c;
  c.model.heads = c.model.kv_heads = 16;
  c.plan.compute = DType::fp8;
  c.trainer = Trainer{};
  c.trainer.dynamic_scaling = false;
  c.trainer.quantised_weights_kept = true;
  const auto cast_bytes = [](const Block& block, Phase phase) {
    int64_t bytes = 0;
    for (const Op& op : block.ops(phase)) {
      const auto* e = std::get_if<Elementwise>(&op.body);
      if (e != nullptr && e->kind == ElementwiseKind::cast)
        bytes += e->read_bytes + e->written_bytes;
    }
    return bytes;
  };
  // Inputs of the four products: h, h, h, 4h values a token; 2 bytes read, two 8-bit copies
  // written.
  CHECK(cast_bytes(c.layer(), Phase::forward) == 4 * kS * 7 * kH);
  // Their gradients: 3h, h, 4h, h.
  CHECK(cast_bytes(c.layer(), Phase::backward) == 4 * kS * 9 * kH);
  SECTION("the largest value is found in a pass of its own") {
    c.trainer.dynamic_scaling = true;
    CHECK(cast_bytes(c.layer(), Phase::forward) == 6 * kS * 7 * kH);
  }
  SECTION("weights that are cast in every micro-batch: 12 h^2 of them") {
    c.trainer.quantised_weights_kept = false;
    CHECK(cast_bytes(c.layer(), Phase::forward) == 4 * (kS * 7 * kH + 12 * kH * kH));
  }
  SECTION("weights that exist in 8 bit alone are transposed for the backward pass") {
    c.trainer.weights_transposed_anew = true;
    CHECK(cast_bytes(c.layer(), Phase::forward) == 4 * (kS * 7 * kH + 12 * kH * kH));
    c.trainer.quantised_weights_gathered = true;
    CHECK(cast_bytes(c.layer(), Phase::forward) == 4 * kS * 7 * kH);
    CHECK(cast_bytes(c.layer(), Phase::backward) == 4 * kS * 9 * kH + 2 * 12 * kH * kH);
  }
  SECTION("inputs kept in 16 bit are cast again: one copy each time, two in the backward pass") {
    c.trainer.fp8_inputs_kept = false;
    CHECK(cast_bytes(c.layer(), Phase::forward) == 3 * kS * 7 * kH);
    CHECK(cast_bytes(c.layer(), Phase::backward) == 4 * kS * (9 + 7) * kH);
  }
  SECTION("sequence-parallel inputs travel in 8 bit, outputs in 16") {
    c.plan.tp = 4;
    const Block layer = c.layer();
    for (const Op& op : layer.ops(Phase::forward)) {
      const auto* moved = std::get_if<Collective>(&op.body);
      if (moved == nullptr) continue;
      const bool gathers = moved->op == CollectiveOp::all_gather;
      CHECK(moved->bytes == kS * kH * (gathers ? 1 : 2));
    }
  }
  SECTION("logits stay in 16 bit") {
    const LowerContext context{c.model, c.plan, c.batch, c.trainer};
    const Block head = lower_block(context, {BlockKind::Role::head});
    for (const Op& op : head.ops(Phase::forward)) {
      if (const auto* gemm = std::get_if<Gemm>(&op.body)) CHECK(gemm->in == DType::bf16);
    }
  }
}
