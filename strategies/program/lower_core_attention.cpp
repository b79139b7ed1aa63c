// SPDX-License-Identifier: Apache-2.0
// Softmax(q k^T) v: tiled in registers or materialised, and under context parallelism by gathering
// k and v (Llama 3, section 3.3.2), by passing them round (ring attention), or by exchanging
// sequence for heads (DeepSpeed Ulysses).
#include "strategies/program/lower.hpp"

namespace meshplan {
namespace {

struct Core {
  BlockBuilder& builder;
  Attention op;  ///< forward, whole k and v
  BufferId q, k, v, o, lse;

  static constexpr Module kModule = Module::core_attention;
  const LowerContext& context() const { return builder.context(); }

  BufferId like(const std::string& name, BufferId id, int64_t rows) const {
    return builder.value(name, rows, builder.at(id).cols, builder.at(id).dtype);
  }
  BufferId like(const std::string& name, BufferId id) const {
    return like(name, id, builder.at(id).rows);
  }
  void collective(Pass pass, CollectiveOp kind, BufferId in, BufferId out) const {
    const int64_t bytes = builder.at(kind == CollectiveOp::all_gather ? out : in).bytes();
    const Collective body{kind, Group::cp, bytes, builder.at(in).dtype};
    if (pass == Pass::forward) {
      builder.forward(body, kModule, {in}, {out});
    } else {
      builder.backward(body, kModule, {in}, {out});
    }
  }

  /// Gathers k and v; they are gathered again for the backward pass instead of being kept.
  void gathered() {
    const int cp = context().plan.cp;
    // The rules of the backward pass run after this object: they hand in their own copy.
    const auto gather = [cp](const Core& core, Pass pass, const std::string& suffix) {
      const int64_t rows = core.builder.at(core.k).rows * cp;
      const std::pair<BufferId, BufferId> kv{core.like("k" + suffix, core.k, rows),
                                             core.like("v" + suffix, core.v, rows)};
      core.collective(pass, CollectiveOp::all_gather, core.k, kv.first);
      core.collective(pass, CollectiveOp::all_gather, core.v, kv.second);
      return kv;
    };
    const auto [ka, va] = gather(*this, Pass::forward, ".gathered");
    builder.forward(op, kModule, {q, ka, va}, {o, lse});
    builder.on_backward(kModule, [*this, gather]() mutable {
      const auto [kb, vb] = gather(*this, Pass::backward, ".gathered again");
      const BufferId dq = like("dq", q), dka = like("dk.whole", kb), dva = like("dv.whole", vb);
      Attention back = op;
      back.pass = Pass::backward;
      builder.backward(back, kModule, {builder.gradient_of(o), q, kb, vb, o, lse}, {dq, dka, dva});
      const BufferId dk = like("dk", k), dv = like("dv", v);
      collective(Pass::backward, CollectiveOp::reduce_scatter, dka, dk);
      collective(Pass::backward, CollectiveOp::reduce_scatter, dva, dv);
      give(dq, dk, dv);
    });
  }

  /// cp blocks; the next k and v travel while the present ones are used. Their gradients travel
  /// with them and arrive at their owner after one more exchange.
  void ring() {
    const int cp = context().plan.cp;
    Attention step = op;
    step.kv_len = op.q_len;
    const auto pass_on = [](const Core& core, Pass pass, BufferId id, const std::string& name) {
      const BufferId next = core.like(name, id);
      core.collective(pass, CollectiveOp::ring_exchange, id, next);
      return next;
    };
    BufferId ks = k, vs = v;
    for (step.ring_step = 0; step.ring_step < cp; ++step.ring_step) {
      const BufferId kn = ks, vn = vs;
      if (step.ring_step + 1 < cp) {
        ks = pass_on(*this, Pass::forward, ks, "k.ring");
        vs = pass_on(*this, Pass::forward, vs, "v.ring");
      }
      builder.forward(step, kModule, {q, kn, vn}, {o, lse});
    }
    builder.on_backward(kModule, [*this, step, pass_on, cp]() mutable {
      step.pass = Pass::backward;
      const BufferId dq = like("dq", q);
      BufferId kn = k, vn = v, dk = like("dk.ring", k), dv = like("dv.ring", v);
      for (step.ring_step = 0; step.ring_step < cp; ++step.ring_step) {
        builder.backward(step, kModule, {builder.gradient_of(o), q, kn, vn, o, lse}, {dq, dk, dv});
        if (step.ring_step + 1 < cp) {
          kn = pass_on(*this, Pass::backward, kn, "k.ring");
          vn = pass_on(*this, Pass::backward, vn, "v.ring");
        }
        dk = pass_on(*this, Pass::backward, dk, "dk.ring");
        dv = pass_on(*this, Pass::backward, dv, "dv.ring");
      }
      give(dq, dk, dv);
    });
  }

  /// Every rank has all tokens of heads / cp heads while it attends.
  void exchanged() {
    const int cp = context().plan.cp;
    const auto across = [](const Core& core, Pass pass, BufferId id, const std::string& name) {
      const BufferId out = core.like(name, id);
      core.collective(pass, CollectiveOp::all_to_all, id, out);
      return out;
    };
    op.q_len *= cp;
    op.heads /= cp;
    op.kv_heads = std::max<int64_t>(1, op.kv_heads / cp);
    const BufferId qx = across(*this, Pass::forward, q, "q.heads");
    const BufferId kx = across(*this, Pass::forward, k, "k.heads");
    const BufferId vx = across(*this, Pass::forward, v, "v.heads");
    const BufferId ox = like("o.heads", o);
    builder.forward(op, kModule, {qx, kx, vx}, {ox, lse});
    collective(Pass::forward, CollectiveOp::all_to_all, ox, o);
    builder.on_backward(kModule, [*this, across, qx, kx, vx, ox]() mutable {
      const BufferId dox = across(*this, Pass::backward, builder.gradient_of(o), "do.heads");
      const BufferId dqx = like("dq.heads", q), dkx = like("dk.heads", k),
                     dvx = like("dv.heads", v);
      Attention back = op;
      back.pass = Pass::backward;
      builder.backward(back, kModule, {dox, qx, kx, vx, ox, lse}, {dqx, dkx, dvx});
      const BufferId dq = across(*this, Pass::backward, dqx, "dq");
      const BufferId dk = across(*this, Pass::backward, dkx, "dk");
      give(dq, dk, across(*this, Pass::backward, dvx, "dv"));
    });
  }

  void whole() {
    builder.forward(op, kModule, {q, k, v}, {o, lse});
    builder.on_backward(kModule, [*this] {
      const BufferId dq = like("dq", q), dk = like("dk", k), dv = like("dv", v);
      Attention back = op;
      back.pass = Pass::backward;
      builder.backward(back, kModule, {builder.gradient_of(o), q, k, v, o, lse}, {dq, dk, dv});
      give(dq, dk, dv);
    });
  }

  /// Scores in memory: two batched products and a softmax; dropout on the probabilities.
  void materialised() {
    const int64_t batch = op.batch * op.heads;
    const int64_t s = op.q_len, d = op.head_dim, dv_cols = op.head_dim_v;
    const bool dropped = context().trainer.dropout;
    const BufferId scores = builder.value("scores", batch * s, s);
    const BufferId p = builder.value("probabilities", batch * s, s);
    const int64_t elements = batch * s * s;
    const int64_t bytes = builder.at(p).bytes();
    const int64_t longest = context().trainer.fused_softmax_max_sequence;
    const bool fused = context().trainer.fused_softmax && (longest == 0 || s <= longest);
    builder.forward(BatchedGemm{batch, s, s, d}, kModule, {q, k}, {scores});
    // torch's softmax in fp32 keeps its own result beside the one in the compute type.
    const bool wide = !fused && builder.at(p).dtype != DType::fp32;
    const BufferId kept = wide ? builder.value("probabilities.fp32", batch * s, s, DType::fp32) : p;
    builder.forward(Softmax{Pass::forward, batch * s, s, fused}, kModule, {scores},
                    wide ? std::vector<BufferId>{p, kept} : std::vector<BufferId>{p});
    BufferId used = p, mask = -1;
    if (dropped) {
      used = builder.value("probabilities.dropped", batch * s, s);
      mask = builder.value("probabilities.mask", batch * s, s, DType::uint8);
      builder.forward(Elementwise{ElementwiseKind::dropout, elements, bytes, bytes + elements},
                      kModule, {p}, {used, mask});
    }
    builder.forward(BatchedGemm{batch, s, dv_cols, s}, kModule, {used, v}, {o});
    builder.on_backward(kModule, [*this, batch, s, d, dv_cols, p, kept, used, mask, elements, bytes,
                                  fused] {
      const BufferId grad = builder.gradient_of(o);
      const BufferId dv = like("dv", v), dp = like("d.probabilities", p);
      builder.backward(BatchedGemm{batch, s, dv_cols, s}, kModule, {used, grad}, {dv});
      builder.backward(BatchedGemm{batch, s, s, dv_cols}, kModule, {grad, v}, {dp});
      BufferId dpd = dp;
      if (mask >= 0) {
        dpd = like("d.probabilities.kept", p);
        builder.backward(Elementwise{ElementwiseKind::dropout, elements, bytes + elements, bytes},
                         kModule, {dp, mask}, {dpd});
      }
      const BufferId ds = like("d.scores", p);
      builder.backward(Softmax{Pass::backward, batch * s, s, fused}, kModule, {dpd, kept}, {ds});
      const BufferId dq = like("dq", q), dk = like("dk", k);
      builder.backward(BatchedGemm{batch, s, d, s}, kModule, {ds, k}, {dq});
      builder.backward(BatchedGemm{batch, s, d, s}, kModule, {ds, q}, {dk});
      give(dq, dk, dv);
    });
  }

  void give(BufferId dq, BufferId dk, BufferId dv) const {
    builder.give(q, dq, kModule);
    builder.give(k, dk, kModule);
    builder.give(v, dv, kModule);
  }
};

}  // namespace

double attention_work(int64_t sequence, int64_t window) {
  if (window <= 0 || window >= sequence) return 0.5;
  const double s = static_cast<double>(sequence), w = static_cast<double>(window);
  return (w * s - w * w / 2) / (s * s);
}

BufferId lower_core_attention(BlockBuilder& builder, BufferId q, BufferId k, BufferId v,
                              int64_t heads, int64_t kv_heads, int64_t window) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  const int64_t sequence = context.batch.sequence;
  const int64_t dv = value_head_dim(model);
  const BufferId o = builder.value("attention", context.tokens(), heads * dv);
  const Attention op{Pass::forward,
                     context.plan.micro_batch,
                     sequence / context.plan.cp,
                     sequence,
                     heads,
                     kv_heads,
                     model.head_dim,
                     dv,
                     window,
                     attention_work(sequence, window)};
  Core core{builder, op, q, k, v, o, -1};
  if (context.trainer.attention == AttentionKernel::materialised && context.plan.cp == 1) {
    core.materialised();
    return o;
  }
  core.lse = builder.value("log-sum-exp", context.tokens(), heads, DType::fp32);
  if (context.plan.cp == 1) {
    core.whole();
    return o;
  }
  switch (context.plan.cp_kind) {
    case ContextParallel::all_gather:
      core.gathered();
      break;
    case ContextParallel::ring:
      core.ring();
      break;
    case ContextParallel::all_to_all:
      core.exchanged();
      break;
  }
  return o;
}

}  // namespace meshplan
