// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "strategies/program/lower.hpp"

namespace meshplan {

BufferId lower_mlp(BlockBuilder& builder, BufferId x, int64_t intermediate, bool shared) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  const Module in = shared ? Module::shared_expert : Module::mlp_in;
  const Module middle = shared ? Module::shared_expert : Module::activation;
  const Module out = shared ? Module::shared_expert : Module::mlp_out;
  const std::string prefix = shared ? "shared " : "";
  const std::string hf = shared ? "mlp.shared_experts." : "mlp.";
  const bool gated = is_gated(model.activation);
  std::vector<Piece> pieces;
  if (gated) pieces.push_back({hf + "gate_proj.weight", intermediate});
  pieces.push_back({hf + "up_proj.weight", intermediate});
  const Weight w_in = builder.parameter(prefix + "mlp_in.weight", pieces, model.hidden, 0, true);
  BufferId y = builder.column(prefix + "mlp in", in, x, w_in, -1, -1, DType::tf32,
                              static_cast<int>(pieces.size()));
  const bool biased = model.mlp_bias && !shared;
  if (biased) {
    for (Piece& piece : pieces) piece.name.replace(piece.name.rfind("weight"), 6, "bias");
    const Weight b = builder.parameter("mlp_in.bias", pieces, 1, 0, false);
    y = builder.bias(in, y, b, context.trainer.fused_bias_activation);
  }
  const int64_t width = intermediate / context.plan.tp;
  y = builder.activation(prefix + "activated", middle, y, model.activation, context.tokens(),
                         width);
  const Weight w_out = builder.parameter(
      prefix + "mlp_out.weight", {{hf + "down_proj.weight", model.hidden}}, intermediate, 1, true);
  y = builder.row(prefix + "mlp out", out, y, w_out);
  if (!shared && builder.keeps_alternate_products()) builder.hold(y);
  if (biased) {
    const Weight b =
        builder.parameter("mlp_out.bias", {{hf + "down_proj.bias", 1}}, model.hidden, -1, false);
    y = builder.bias(out, y, b, context.trainer.fused_bias_dropout_add);
  }
  return y;
}

namespace {

/// Rows moved to or from expert order; gates weigh them on the way back.
struct Experts {
  BlockBuilder& builder;
  Route route;
  int64_t rows;    ///< for this rank's tokens: tokens * top_k * expert capacity
  int64_t hidden;  ///< dimensions that experts read and write
  BufferId logits, gates, routing;

  void route_tokens() {
    builder.forward(route, Module::router, {logits}, {gates, routing});
    builder.on_backward(Module::router, [*this] {
      Route back = route;
      back.pass = Pass::backward;
      const BufferId dlogits =
          builder.value("d.router logits", route.tokens, route.experts, DType::fp32);
      builder.backward(back, Module::router, {builder.gradient_of(gates), routing, gates},
                       {dlogits});
      builder.give(logits, dlogits, Module::router);
    });
  }

  BufferId dispatch(BufferId x) {
    const BufferId permuted = builder.value("permuted", rows, hidden);
    const Permute op{Pass::forward, false, route.tokens, rows, hidden};
    builder.forward(op, Module::dispatch, {x, routing}, {permuted});
    builder.on_backward(Module::dispatch, [*this, op, x, permuted] {
      Permute back = op;
      back.pass = Pass::backward;
      const BufferId dx = builder.value("dx.dispatch", route.tokens, hidden);
      builder.backward(back, Module::dispatch, {builder.gradient_of(permuted), routing}, {dx});
      builder.give(x, dx, Module::dispatch);
    });
    return permuted;
  }

  BufferId combine(BufferId permuted) {
    const BufferId y = builder.value("combined", route.tokens, hidden);
    const Permute op{Pass::forward, true, route.tokens, rows, hidden};
    builder.forward(op, Module::combine, {permuted, gates, routing}, {y});
    builder.on_backward(Module::combine, [*this, op, y, permuted] {
      Permute back = op;
      back.pass = Pass::backward;
      const BufferId dp = builder.value("d.permuted", rows, hidden);
      const BufferId dgates = builder.value("d.gates", route.tokens, route.top_k, DType::fp32);
      // Gates that weigh the activation get their gradient there, so the output is not kept.
      std::vector<BufferId> in{builder.gradient_of(y), permuted, gates, routing};
      if (builder.context().trainer.moe_gates_in_activation) in.erase(in.begin() + 1);
      builder.backward(back, Module::combine, in, {dp, dgates});
      builder.give(permuted, dp, Module::combine);
      builder.give(gates, dgates, Module::combine);
    });
    return y;
  }
};

}  // namespace

BufferId lower_moe(BlockBuilder& builder, BufferId x) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  const Plan& plan = context.plan;
  const Moe& moe = *model.moe;
  const int64_t tokens = context.own_tokens();
  const int64_t h = expert_hidden(model);
  const int64_t f = moe.expert_intermediate;

  // A rank that has all experts has all copies of its tokens, however they choose.
  const double load = plan.ep > 1 ? context.trainer.expert_load_ratio : 1;
  const Weight router = builder.parameter("router.weight", {{"mlp.gate.weight", moe.experts}},
                                          model.hidden, -1, true);
  const BufferId logits = builder.local("router logits", Module::router, x, router, 1, DType::fp32);
  Experts experts{
      builder,
      {Pass::forward, tokens, moe.experts, moe.top_k},
      std::llround(static_cast<double>(tokens * moe.top_k) * context.expert_capacity * load),
      h,
      logits,
      builder.value("gates", tokens, moe.top_k, DType::fp32),
      builder.value("routing", tokens, moe.top_k, DType::int32)};
  experts.route_tokens();
  BufferId y = x;
  if (moe.latent > 0) {
    const Weight down = builder.parameter("latent_in.weight", {{"mlp.fc1_latent_proj.weight", h}},
                                          model.hidden, -1, true);
    y = builder.local("latent in", Module::dispatch, y, down);
  }
  y = experts.dispatch(y);
  Collective sent{};
  sent.copies = context.trainer.ep_sends_once ? moe.top_k : 1;
  // Groups of experts lie on neighbouring ranks.
  if (moe.groups > 0)
    sent.reach = static_cast<double>(moe.groups_per_token) / static_cast<double>(moe.groups);
  if (plan.ep > 1) {
    // A byte for each token of the group and expert (Megatron-Core's routing_map).
    Collective dispatched = sent;
    if (sent.copies > 1) dispatched.map_bytes = tokens * plan.ep * moe.experts;
    y = builder.exchange("dispatched", Module::dispatch, CollectiveOp::all_to_all,
                         CollectiveOp::all_to_all, Group::ep, y, experts.rows, dispatched);
  }
  if (plan.etp > 1) {
    y = builder.exchange("dispatched.gathered", Module::dispatch, CollectiveOp::all_gather,
                         CollectiveOp::reduce_scatter, Group::etp, y, experts.rows * plan.etp);
  }
  const bool sorted = context.trainer.expert_chunks_sorted && plan.ep > 1 &&
                      plan.ep < moe.experts && !context.trainer.ep_sends_once;
  if (sorted) y = builder.copy("sorted by expert", Module::dispatch, y);
  const bool padded = context.trainer.experts_padded && is_quantised(plan.compute);
  if (padded) y = builder.copy("padded", Module::dispatch, y);
  const int64_t rows = builder.at(y).rows;
  const int64_t local = std::max<int64_t>(1, std::min(moe.experts / plan.ep, rows));
  const bool gated = is_gated(model.activation);
  std::vector<Piece> pieces;
  if (gated) pieces.push_back({"mlp.experts.{e}.gate_proj.weight", f});
  pieces.push_back({"mlp.experts.{e}.up_proj.weight", f});
  const Weight in =
      builder.parameter("experts_in.weight", pieces, h, 0, true, moe.experts / plan.ep);
  y = builder.local("experts in", Module::experts, y, in, local);
  if (model.activation_limit && context.trainer.expert_bias_clamp_apart) {
    // Bytes an element of 2 bytes. Forward: both halves clamped, then joined, each 2 + 2. Backward:
    // one comparison with its mask on one half, two and their conjunction on the other (2 + 1
    // each), a selection (3 + 2), and both halves joined (2 + 2).
    y = builder.passes("experts clamped", Module::expert_activation, y, {4, 4}, {9, 6}, true);
  }
  y = builder.activation("experts activated", Module::expert_activation, y, model.activation, rows,
                         f / plan.etp, context.trainer.moe_gates_in_activation);
  const Weight out =
      builder.parameter("experts_out.weight", {{"mlp.experts.{e}.down_proj.weight", h}}, f, 1, true,
                        moe.experts / plan.ep);
  y = builder.local("experts out", Module::experts, y, out, local);
  if (moe.expert_bias && context.trainer.expert_bias_clamp_apart) {
    // Bytes an element of 2 bytes. Forward: bias times gate 4, sum 2 + 4 + 4, parts joined 4 + 4,
    // cast 4 + 2. Backward: cast 2 + 4, gradient of the product's output 4 + 2 and its parts joined
    // 2 + 2, of the bias 4 + 4 + 4, of the gate 4 + 4 + 4.
    y = builder.passes("experts biased", Module::experts, y, {14, 14}, {24, 16});
  }
  if (padded) y = builder.copy("unpadded", Module::combine, y);
  if (sorted) y = builder.copy("sorted by rank", Module::combine, y);
  if (plan.etp > 1) {
    y = builder.exchange("experts out.reduced", Module::combine, CollectiveOp::reduce_scatter,
                         CollectiveOp::all_gather, Group::etp, y, experts.rows);
  }
  if (plan.ep > 1) {
    y = builder.exchange("returned", Module::combine, CollectiveOp::all_to_all,
                         CollectiveOp::all_to_all, Group::ep, y, experts.rows, sent);
  }
  y = experts.combine(y);
  if (moe.latent > 0) {
    const Weight up = builder.parameter(
        "latent_out.weight", {{"mlp.fc2_latent_proj.weight", model.hidden}}, h, -1, true);
    y = builder.local("latent out", Module::combine, y, up);
  }
  if (moe.shared_intermediate > 0) {
    const BufferId shared = lower_mlp(builder, x, moe.shared_intermediate, true);
    const Buffer from = builder.at(y);
    const BufferId sum = builder.value("experts and shared", from.rows, from.cols, from.dtype);
    builder.forward(
        Elementwise{ElementwiseKind::add, from.elements(), 2 * from.bytes(), from.bytes()},
        Module::combine, {y, shared}, {sum});
    builder.on_backward(Module::combine, [&builder, y, shared, sum] {
      builder.give(y, builder.gradient_of(sum), Module::combine);
      builder.give(shared, builder.gradient_of(sum), Module::combine);
    });
    y = sum;
  }
  return y;
}

}  // namespace meshplan
