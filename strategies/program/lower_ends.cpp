// SPDX-License-Identifier: Apache-2.0
// The two ends: vocabulary-parallel embedding, and head with vocabulary-parallel loss (Shoeybi et
// al. 2019, section 3).
#include <algorithm>

#include "strategies/program/lower.hpp"

namespace meshplan {

int64_t padded_vocabulary(const Model& model, const Plan& plan, const Trainer& trainer) {
  const int64_t unit = trainer.pad_vocabulary ? 128 * int64_t{plan.tp} : plan.tp;
  return (model.vocabulary + unit - 1) / unit * unit;
}

Block lower_embedding(const LowerContext& context) {
  const Model& model = context.model;
  const Plan& plan = context.plan;
  BlockBuilder builder(context, "embedding");
  const int64_t tokens = context.tokens();
  const int64_t vocab = padded_vocabulary(model, plan, context.trainer);
  const Weight table = builder.parameter("embedding.weight", {{"embed_tokens.weight", vocab}},
                                         model.hidden, 0, true);
  const BufferId ids = builder.given("tokens", tokens, 1, DType::int32);
  const BufferId partial = builder.value("embedded.partial", tokens, model.hidden);
  const Embedding op{Pass::forward, tokens, model.hidden, vocab / plan.tp};
  builder.forward(op, Module::embedding, {ids, table.weight}, {partial});
  builder.on_backward(Module::embedding, [&builder, op, ids, table, partial] {
    Embedding back = op;
    back.pass = Pass::backward;
    builder.backward(back, Module::embedding, {ids, builder.gradient_of(partial)},
                     {table.gradient});
  });
  BufferId x = partial;
  if (plan.tp > 1) {
    const bool sp = context.sp();
    x = builder.value("embedded", context.own_tokens(), model.hidden);
    const Collective reduce{sp ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce, Group::tp,
                            builder.at(partial).bytes(), context.value()};
    builder.forward(reduce, Module::embedding, {partial}, {x});
    builder.on_backward(Module::embedding, [&builder, sp, x, partial, tokens, &model] {
      const BufferId dx = builder.gradient_of(x);
      if (!sp) {
        builder.give(partial, dx, Module::embedding);
        return;
      }
      const BufferId whole = builder.value("d.embedded.gathered", tokens, model.hidden);
      builder.backward(Collective{CollectiveOp::all_gather, Group::tp, builder.at(whole).bytes(),
                                  builder.at(dx).dtype},
                       Module::embedding, {dx}, {whole});
      builder.give(partial, whole, Module::embedding);
    });
  }
  if (model.positions == Positions::learned) {
    const Weight positions =
        builder.parameter("positions.weight", {{"embed_positions.weight", model.position_rows}},
                          model.hidden, -1, true);
    const Buffer from = builder.at(x);
    const BufferId y = builder.value("positioned", from.rows, from.cols);
    builder.forward(
        Elementwise{ElementwiseKind::add, from.elements(), 2 * from.bytes(), from.bytes()},
        Module::embedding, {x, positions.weight}, {y});
    builder.on_backward(Module::embedding, [&builder, x, y, positions] {
      const BufferId dy = builder.gradient_of(y);
      builder.backward(Elementwise{ElementwiseKind::bias_gradient, builder.at(dy).elements(),
                                   2 * builder.at(dy).bytes(), builder.at(dy).bytes()},
                       Module::embedding, {dy}, {positions.gradient});
      builder.give(x, dy, Module::embedding);
    });
    x = y;
  }
  if (model.embedding_norm) {
    x = builder.norm("embedding norm", "embed_layernorm", Module::embedding, x, model.hidden);
  }
  builder.set_output(x);
  return builder.finish(Recompute::selective);
}

namespace {

/// Logits of the whole vocabulary on every tensor-parallel rank; the gradient of a rank's own part
/// is a slice.
BufferId gather_logits(BlockBuilder& builder, BufferId logits) {
  const Buffer own = builder.at(logits);
  const int64_t vocab = own.cols * builder.context().plan.tp;
  const BufferId whole = builder.value("logits.gathered", own.rows, vocab, own.dtype);
  const Buffer gathered = builder.at(whole);
  // The parts arrive one below the other and are put side by side.
  const BufferId parts =
      builder.value("logits.parts", own.rows * builder.context().plan.tp, own.cols, own.dtype);
  builder.forward(Collective{CollectiveOp::all_gather, Group::tp, gathered.bytes(), gathered.dtype},
                  Module::loss, {logits}, {parts});
  builder.forward(
      Elementwise{ElementwiseKind::copy, gathered.elements(), gathered.bytes(), gathered.bytes()},
      Module::loss, {parts}, {whole});
  builder.on_backward(Module::loss, [&builder, logits, whole, own] {
    const BufferId slice = builder.value("d.logits.own", own.rows, own.cols, own.dtype);
    builder.backward(Elementwise{ElementwiseKind::copy, own.elements(), own.bytes(), own.bytes()},
                     Module::loss, {builder.gradient_of(whole)}, {slice});
    builder.give(logits, slice, Module::loss);
  });
  return whole;
}

/// Loss over the part of the vocabulary that this rank has logits of. In place, the gradient
/// replaces the (fp32) logits, or a copy of them from which their largest value was subtracted.
/// torch's cross_entropy writes the log-probabilities, frees the fp32 logits, and its backward pass
/// holds the log-probabilities, their gradient and that of the logits at once. Fused and not in
/// place, the gradient is one more tensor in the type of the logits.
void lower_loss(BlockBuilder& builder, BufferId logits, BufferId targets) {
  const LowerContext& context = builder.context();
  const int64_t tokens = builder.at(logits).rows, vocab = builder.at(logits).cols;
  const bool fused = context.trainer.fused_cross_entropy;
  const bool in_place = context.trainer.loss_in_place;
  const bool copy =
      !fused && context.trainer.logits == DType::fp32 && builder.at(logits).dtype != DType::fp32;
  BufferId used = logits;
  if (copy) {
    used = builder.value("logits.fp32", tokens, vocab, DType::fp32);
    builder.forward(Elementwise{ElementwiseKind::cast, builder.at(logits).elements(),
                                builder.at(logits).bytes(), builder.at(used).bytes()},
                    Module::loss, {logits}, {used});
  }
  const BufferId stats = builder.value("loss statistics", tokens, 3, DType::fp32);
  const BufferId loss = builder.value("loss", 1, 1, DType::fp32);
  const auto part = [&](CrossEntropy::Part which) {
    return CrossEntropy{which, tokens, vocab, builder.at(used).dtype, fused};
  };
  const auto reduce = [&](int64_t columns, bool maximum) {
    if (context.plan.tp == 1 || context.trainer.logits_gathered) return;
    builder.forward(
        Collective{CollectiveOp::all_reduce, Group::tp, tokens * columns * 4, DType::fp32, maximum},
        Module::loss, {stats}, {stats});
  };
  builder.forward(part(CrossEntropy::Part::maximum), Module::loss, {used}, {stats});
  reduce(1, true);
  BufferId kept = used;  // by the backward pass
  std::vector<BufferId> sums{stats};
  const bool widens = fused && context.trainer.fused_loss_widens;
  if (!fused && (!in_place || context.trainer.loss_shifts_copy)) {
    kept = builder.value(in_place ? "shifted logits" : "log-probabilities", tokens, vocab,
                         builder.at(used).dtype);
    sums.push_back(kept);
  } else if (widens) {
    kept = builder.value("exponentials", tokens, vocab, DType::fp32);
    sums.push_back(kept);
  }
  // What makes the fp32 copy may still hold the logits while that is copied again.
  std::vector<BufferId> summed{used, targets, stats};
  if (copy && kept != used && context.trainer.logits_held) summed.push_back(logits);
  builder.forward(part(CrossEntropy::Part::sum), Module::loss, summed, sums);
  reduce(2, false);
  builder.forward(part(CrossEntropy::Part::loss), Module::loss, {stats}, {loss});
  const CrossEntropy gradient = part(CrossEntropy::Part::gradient);
  builder.on_backward(Module::loss, [&builder, logits, targets, kept, stats, gradient, copy, fused,
                                     in_place, widens] {
    const Buffer from = builder.at(kept);
    BufferId d = kept;
    std::vector<BufferId> out{d}, in{kept, targets, stats};
    if (!in_place || widens) {
      d = builder.value(fused ? "d.logits" : "d.logits.fp32", from.rows, from.cols,
                        fused ? builder.at(logits).dtype : from.dtype);
      out = {d};
    }
    if (!in_place && !fused) {
      out.push_back(builder.value("d.log-probabilities", from.rows, from.cols, from.dtype));
      if (builder.context().trainer.logits_held) in.push_back(logits);
    }
    builder.backward(gradient, Module::loss, in, out);
    if (copy) {
      const Buffer to = builder.at(logits);
      const BufferId cast = builder.value("d.logits", to.rows, to.cols, to.dtype);
      builder.backward(
          Elementwise{ElementwiseKind::cast, to.elements(), builder.at(d).bytes(), to.bytes()},
          Module::loss, {d}, {cast});
      d = cast;
    }
    builder.give(logits, d, Module::loss);
  });
}

/// Logits, loss and their gradients of a part of the tokens after the other, when the backward pass
/// begins: only one part's logits exist at a time. y [t, h] is gathered whole before, the gradients
/// of the parts are put together in fp32 (torchtitan components/loss.py, ChunkedLossWrapper).
void lower_loss_in_chunks(BlockBuilder& builder, BufferId y, const Weight& w, BufferId targets) {
  const LowerContext& context = builder.context();
  const int64_t tokens = context.tokens(), chunks = context.trainer.loss_chunks;
  const int64_t rows = (tokens + chunks - 1) / chunks;
  const bool sp = context.sp();
  const BufferId whole =
      sp ? builder.exchange("head input.gathered", Module::head, CollectiveOp::all_gather,
                            CollectiveOp::reduce_scatter, Group::tp, y, tokens)
         : y;
  builder.on_backward(Module::loss, [=, &builder, &context] {
    const Buffer from = builder.at(whole);
    const BufferId sum = builder.value("d.head input.fp32", from.rows, from.cols, DType::fp32);
    for (int64_t first = 0; first < tokens; first += rows) {
      const int64_t count = std::min(rows, tokens - first);
      const BufferId part = builder.view("head input.part", whole, first, count);
      builder.at_once([&] {
        const BufferId logits = builder.local("logits", Module::head, part, w);
        const bool gathered = context.trainer.logits_gathered && context.plan.tp > 1;
        lower_loss(builder, gathered ? gather_logits(builder, logits) : logits,
                   builder.view("targets.part", targets, first, count));
      });
      const Buffer d = builder.at(builder.gradient_of(part));
      builder.backward(Elementwise{ElementwiseKind::cast, d.elements(), d.bytes(),
                                   d.elements() * bytes_of(DType::fp32)},
                       Module::head, {builder.gradient_of(part)},
                       {builder.view("d.head input.part", sum, first, count)});
    }
    BufferId d = builder.value("d.head input", from.rows, from.cols, from.dtype);
    builder.backward(
        Elementwise{ElementwiseKind::cast, from.elements(), 4 * from.elements(), from.bytes()},
        Module::head, {sum}, {d});
    if (context.plan.tp > 1 && !sp) {
      const BufferId own = builder.value("d.head input.summed", from.rows, from.cols, from.dtype);
      builder.backward(Collective{CollectiveOp::all_reduce, Group::tp, from.bytes(), from.dtype},
                       Module::head, {d}, {own});
      d = own;
    }
    builder.give(whole, d, Module::head);
  });
}

}  // namespace

Block lower_head(const LowerContext& context) {
  const Model& model = context.model;
  const Plan& plan = context.plan;
  BlockBuilder builder(context, "head");
  const BufferId x = builder.value("head input", context.own_tokens(), model.hidden);
  builder.set_input(x);
  const BufferId targets = builder.given("targets", context.tokens(), 1, DType::int32);
  const BufferId y = builder.norm("final norm", "norm", Module::head, x, model.hidden);
  const int64_t vocab = padded_vocabulary(model, plan, context.trainer);
  const char* name = model.tied_embeddings ? "embed_tokens.weight" : "lm_head.weight";
  const Weight w = builder.parameter("head.weight", {{name, vocab}}, model.hidden, 0, true);
  // On one stage the head is the embedding's table itself.
  if (model.tied_embeddings && plan.pp == 1) builder.tie_last_parameter();
  if (context.trainer.loss_chunks > 1) {
    lower_loss_in_chunks(builder, y, w, targets);
    return builder.finish(Recompute::selective);
  }
  const BufferId logits = builder.column("logits", Module::head, y, w);
  const bool gathered = context.trainer.logits_gathered && plan.tp > 1;
  lower_loss(builder, gathered ? gather_logits(builder, logits) : logits, targets);
  return builder.finish(Recompute::selective);
}

}  // namespace meshplan
