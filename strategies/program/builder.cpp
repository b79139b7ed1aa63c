// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/builder.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace meshplan {
namespace {

/// 8-bit products read weights that have no 16-bit copy: frozen ones, or those gathered so.
bool only_8_bit(const Trainer& trainer) {
  return trainer.quantised_weights_kept &&
         (trainer.adapters_only || trainer.quantised_weights_gathered);
}

}  // namespace

DType LowerContext::value() const {
  switch (plan.compute) {
    case DType::fp8:
    case DType::fp4:
      return DType::bf16;
    case DType::tf32:
      return DType::fp32;
    default:
      return plan.compute;
  }
}

bool LowerContext::split_weight_gradient() const { return splits_backward(plan.schedule); }

BlockBuilder::BlockBuilder(const LowerContext& context, std::string name) : context_(context) {
  block_.name = std::move(name);
}

BufferId BlockBuilder::value(const std::string& name, int64_t rows, int64_t cols) {
  return value(name, rows, cols, context_.value());
}

BufferId BlockBuilder::value(const std::string& name, int64_t rows, int64_t cols, DType type) {
  block_.buffers.push_back({name, BufferClass::activation, type, rows, cols});
  return static_cast<BufferId>(block_.buffers.size() - 1);
}

BufferId BlockBuilder::given(const std::string& name, int64_t rows, int64_t cols, DType type) {
  block_.buffers.push_back({name, BufferClass::input, type, rows, cols});
  return static_cast<BufferId>(block_.buffers.size() - 1);
}

Weight BlockBuilder::parameter(const std::string& name, std::vector<Piece> pieces, int64_t cols,
                               int tp_dim, bool decay, int64_t experts, bool partial) {
  const Plan& plan = context_.plan;
  const int degree = experts > 0 ? plan.etp : plan.tp;
  int64_t rows = 0;
  for (const Piece& piece : pieces) rows += piece.rows;
  const int64_t local_rows = tp_dim == 0 ? rows / degree : rows;
  const int64_t local_cols = tp_dim == 1 ? cols / degree : cols;
  const int64_t stacked = local_rows * std::max<int64_t>(experts, 1);
  const auto id = static_cast<BufferId>(block_.buffers.size());
  block_.buffers.push_back({name, BufferClass::parameter, context_.value(), stacked, local_cols});
  block_.buffers.push_back(
      {name + ".grad", BufferClass::gradient, plan.gradient, stacked, local_cols});
  // Under sequence parallelism a replicated weight sees only this rank's tokens.
  const bool sum = tp_dim < 0 && experts == 0 && plan.tp > 1 && (partial || context_.sp());
  block_.parameters.push_back({name, id, id + 1, rows, cols, degree > 1 ? tp_dim : -1, experts > 0,
                               sum, decay, std::move(pieces), experts});
  return {id, id + 1, local_rows, local_cols};
}

void BlockBuilder::tie_last_parameter() { block_.parameters.back().tied = true; }

void BlockBuilder::forward(const Body& body, Module module, std::vector<BufferId> in,
                           std::vector<BufferId> out) {
  block_.ops(Phase::forward).push_back({body, module, std::move(in), std::move(out)});
}

void BlockBuilder::backward(const Body& body, Module module, std::vector<BufferId> in,
                            std::vector<BufferId> out) {
  if (held_ >= 0) in.push_back(std::exchange(held_, -1));
  block_.ops(Phase::backward).push_back({body, module, std::move(in), std::move(out)});
}

bool BlockBuilder::keeps_alternate_products() const {
  return context_.trainer.alternate_products_kept &&
         context_.plan.recompute == Recompute::selective &&
         (context_.plan.recompute_modules & bit(Module::mlp_in)) != 0;
}

void BlockBuilder::hold(BufferId id) {
  on_backward(Module::residual, [this, id] { held_ = id; });
}

void BlockBuilder::on_backward(Module module, std::function<void()> rule) {
  tape_.push_back({module, std::move(rule)});
}

BufferId BlockBuilder::gradient_of(BufferId id) const {
  const auto found = gradients_.find(id);
  assert(found != gradients_.end());
  return found->second;
}

void BlockBuilder::give(BufferId id, BufferId gradient, Module module) {
  const auto found = gradients_.find(id);
  if (found == gradients_.end()) {
    gradients_[id] = gradient;
    return;
  }
  const Buffer& buffer = at(id);
  const BufferId sum = value("d." + buffer.name + ".sum", buffer.rows, buffer.cols, buffer.dtype);
  const int64_t bytes = at(sum).bytes();
  backward(Elementwise{ElementwiseKind::add, at(sum).elements(), 2 * bytes, bytes}, module,
           {found->second, gradient}, {sum});
  found->second = sum;
}

Op BlockBuilder::collective(CollectiveOp op, Group group, BufferId in, BufferId out,
                            Module module) const {
  const int64_t bytes = op == CollectiveOp::all_gather ? at(out).bytes() : at(in).bytes();
  return {Collective{op, group, bytes, at(in).dtype}, module, {in}, {out}};
}

BufferId BlockBuilder::exchange(const std::string& name, Module module, CollectiveOp op,
                                CollectiveOp back, Group group, BufferId x, int64_t rows,
                                const Collective& sent) {
  const Buffer from = at(x);
  const BufferId y = value(name, rows, from.cols, from.dtype);
  const auto add = [=, this](Phase phase, CollectiveOp kind, BufferId in, BufferId out) {
    Op exchanged = collective(kind, group, in, out, module);
    auto& body = std::get<Collective>(exchanged.body);
    body.copies = sent.copies;
    body.reach = sent.reach;
    if (phase == Phase::forward) body.map_bytes = sent.map_bytes;
    block_.ops(phase).push_back(std::move(exchanged));
  };
  add(Phase::forward, op, x, y);
  on_backward(module, [=, this] {
    const BufferId dx = value("d." + at(x).name, from.rows, from.cols, from.dtype);
    add(Phase::backward, back, gradient_of(y), dx);
    give(x, dx, module);
  });
  return y;
}

void BlockBuilder::weight_gradient(Module module, const Gemm& gemm, BufferId dy, BufferId x,
                                   const Weight& w) {
  if (context_.trainer.adapters_only) return;  // frozen weights: their adapter has its own products
  const Phase phase = context_.split_weight_gradient() ? Phase::weight : Phase::backward;
  Gemm product = gemm;
  product.accumulate = context_.trainer.wgrad_accumulation_fused;
  if (product.accumulate) {
    product.out = context_.plan.gradient;
    std::vector<BufferId> out{w.gradient};
    if (context_.trainer.weight_gradient_placeholders && module == Module::head) {
      out.push_back(value("placeholder." + at(w.weight).name, w.rows, w.cols));
    }
    block_.ops(phase).push_back({product, module, {dy, x}, std::move(out)});
    return;
  }
  const int64_t rows = product.m * product.groups;
  const BufferId dw = value("dw." + at(w.weight).name, rows, w.cols);
  block_.ops(phase).push_back({product, module, {dy, x}, {dw}});
  const int64_t elements = rows * w.cols;
  const int64_t kept = elements * bytes_of(context_.plan.gradient);
  block_.ops(phase).push_back(
      {Elementwise{ElementwiseKind::add, elements, at(dw).bytes() + kept, kept},
       module,
       {w.gradient, dw},
       {w.gradient}});
}

DType BlockBuilder::product_type(Module module) const {
  const bool kept = module == Module::head || module == Module::router;
  return kept ? context_.value() : context_.plan.compute;
}

BufferId BlockBuilder::quantised(Phase phase, DType type, Module module, BufferId x) {
  if (!is_quantised(type)) return x;
  const Buffer from = at(x);
  const BufferId q = value(from.name + ".quantised", from.rows, from.cols, DType::fp8);
  const int64_t reads = context_.trainer.dynamic_scaling ? 2 : 1;
  // A copy along the rows for one product and one along the columns for the other; an input that
  // is kept in 16 bit gets its second copy when it is cast again.
  const bool once = phase == Phase::forward && !context_.trainer.fp8_inputs_kept;
  block_.ops(phase).push_back({Elementwise{ElementwiseKind::cast, from.elements(),
                                           reads * from.bytes(), (once ? 1 : 2) * from.elements()},
                               module,
                               {x},
                               {q}});
  return q;
}

BufferId BlockBuilder::input_again(DType type, Module module, BufferId x, BufferId quantised_x) {
  return context_.trainer.fp8_inputs_kept ? quantised_x
                                          : quantised(Phase::backward, type, module, x);
}

/// Weights that exist in 8 bit alone are not cast, but their input's gradient reads them along the
/// columns.
void BlockBuilder::transpose_weight(DType type, Module module, const Weight& w) {
  if (!is_quantised(type) || !only_8_bit(context_.trainer)) return;
  if (!context_.trainer.weights_transposed_anew) return;
  const int64_t elements = at(w.weight).elements();
  backward(Elementwise{ElementwiseKind::cast, elements, elements, elements}, module, {w.weight},
           {});
}

void BlockBuilder::quantise_weight(DType type, Module module, const Weight& w) {
  const Trainer& trainer = context_.trainer;
  const bool anew = trainer.weights_transposed_anew && !only_8_bit(trainer);
  if (!is_quantised(type) || (trainer.quantised_weights_kept && !anew)) return;
  const int64_t elements = at(w.weight).elements();
  const int64_t reads = context_.trainer.dynamic_scaling ? 2 : 1;
  forward(Elementwise{ElementwiseKind::cast, elements, reads * at(w.weight).bytes(), 2 * elements},
          module, {w.weight}, {});
}

BufferId BlockBuilder::local(const std::string& name, Module module, BufferId x, const Weight& w,
                             int64_t groups, DType out) {
  const int64_t rows = at(x).rows;
  const DType type = out == DType::tf32 ? context_.value() : out;
  const DType in = product_type(module);
  quantise_weight(in, module, w);
  const BufferId xq = quantised(Phase::forward, in, module, x);
  const BufferId y = value(name, rows, w.rows, type);
  const Gemm gemm{rows / groups, w.rows, w.cols, groups, Layout::tn, in, type};
  forward(gemm, module, {xq, w.weight}, {y});
  on_backward(module, [=, this] {
    transpose_weight(in, module, w);
    const BufferId dy = quantised(Phase::backward, in, module, gradient_of(y));
    const BufferId dx = value("d." + at(x).name, rows, w.cols, at(x).dtype);
    backward(Gemm{rows / groups, w.cols, w.rows, groups, Layout::nn, in, at(x).dtype}, module,
             {dy, w.weight}, {dx});
    weight_gradient(module, {w.rows, w.cols, rows / groups, groups, Layout::nt, in, type}, dy,
                    input_again(in, module, x, xq), w);
    give(x, dx, module);
  });
  return y;
}

BufferId BlockBuilder::column(const std::string& name, Module module, BufferId x, const Weight& w,
                              BufferId bias_weight, BufferId bias_gradient, DType out, int parts) {
  const bool sp = context_.sp();
  const bool each = context_.trainer.tp_sums_each_product && context_.plan.tp > 1 && !sp;
  const int sums = each ? parts : 1;
  const int64_t tokens = sp ? at(x).rows * context_.plan.tp : at(x).rows;
  const DType type = out == DType::tf32 ? context_.value() : out;
  const DType in = product_type(module);
  quantise_weight(in, module, w);
  // What is quantised is so before it travels (Transformer Engine gathers 8-bit inputs).
  const BufferId xq = quantised(Phase::forward, in, module, x);
  const auto gather = [=, this](Phase phase, BufferId from, const std::string& gathered) {
    const BufferId whole = value(gathered, tokens, w.cols, at(from).dtype);
    block_.ops(phase).push_back(
        collective(CollectiveOp::all_gather, Group::tp, from, whole, module));
    return whole;
  };
  const BufferId xg = sp ? gather(Phase::forward, xq, at(x).name + ".gathered") : xq;
  const BufferId y = value(name, tokens, w.rows, type);
  std::vector<BufferId> operands{xg, w.weight};
  if (bias_weight >= 0) operands.push_back(bias_weight);
  forward(Gemm{tokens, w.rows, w.cols, 1, Layout::tn, in, type}, module, operands, {y});
  on_backward(module, [=, this] {
    transpose_weight(in, module, w);
    const BufferId dyw = gradient_of(y);
    const BufferId dy = quantised(Phase::backward, in, module, dyw);
    // The gathered input is not kept: it is gathered again (Korthikanti et al. 2022, 4.2.2).
    // Trainers that gather outside of the product keep what they gathered.
    const bool keeps = sp && !context_.trainer.sequence_gathered_again;
    BufferId again = keeps ? xg : input_again(in, module, x, xq);
    if (sp && !keeps) again = gather(Phase::backward, again, at(x).name + ".gathered again");
    std::vector<BufferId> gradients;
    for (int i = 0; i < sums; ++i) {
      BufferId dx = value("d." + at(x).name + ".whole", tokens, w.cols, at(x).dtype);
      backward(Gemm{tokens, w.cols, w.rows / sums, 1, Layout::nn, in, at(x).dtype}, module,
               {dy, w.weight}, {dx});
      if (context_.plan.tp > 1) {
        const BufferId own = value("d." + at(x).name, at(x).rows, w.cols, at(x).dtype);
        Op sum = collective(sp ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce, Group::tp,
                            dx, own, module);
        // Frozen weights have no gradient whose product it could run beside.
        std::get<Collective>(sum.body).alone =
            context_.trainer.adapters_only && !context_.trainer.tp_scatter_in_pieces;
        block_.ops(Phase::backward).push_back(std::move(sum));
        dx = own;
      }
      gradients.push_back(dx);
    }
    weight_gradient(module, {w.rows, w.cols, tokens, 1, Layout::nt, in, type}, dy, again, w);
    if (bias_gradient >= 0) {
      backward(Elementwise{ElementwiseKind::bias_gradient, at(dyw).elements(), at(dyw).bytes(), 0},
               module, {dyw}, {bias_gradient});
    }
    for (const BufferId dx : gradients) give(x, dx, module);
  });
  return y;
}

BufferId BlockBuilder::row(const std::string& name, Module module, BufferId x, const Weight& w) {
  if (context_.plan.tp == 1) return local(name, module, x, w);
  const bool sp = context_.sp();
  const int64_t tokens = at(x).rows;
  const int64_t own = sp ? tokens / context_.plan.tp : tokens;
  const DType in = product_type(module);
  quantise_weight(in, module, w);
  const BufferId xq = quantised(Phase::forward, in, module, x);
  const BufferId partial = value(name + ".partial", tokens, w.rows);
  forward(Gemm{tokens, w.rows, w.cols, 1, Layout::tn, in, context_.value()}, module, {xq, w.weight},
          {partial});
  const BufferId y = value(name, own, w.rows);
  block_.ops(Phase::forward)
      .push_back(collective(sp ? CollectiveOp::reduce_scatter : CollectiveOp::all_reduce, Group::tp,
                            partial, y, module));
  on_backward(module, [=, this] {
    transpose_weight(in, module, w);
    BufferId dy = quantised(Phase::backward, in, module, gradient_of(y));
    if (sp) {
      const BufferId whole = value("d." + at(y).name + ".gathered", tokens, w.rows, at(dy).dtype);
      block_.ops(Phase::backward)
          .push_back(collective(CollectiveOp::all_gather, Group::tp, dy, whole, module));
      dy = whole;
    }
    const BufferId dx = value("d." + at(x).name, tokens, w.cols, at(x).dtype);
    backward(Gemm{tokens, w.cols, w.rows, 1, Layout::nn, in, at(x).dtype}, module, {dy, w.weight},
             {dx});
    weight_gradient(module, {w.rows, w.cols, tokens, 1, Layout::nt, in, context_.value()}, dy,
                    input_again(in, module, x, xq), w);
    give(x, dx, module);
  });
  return y;
}

BufferId BlockBuilder::bias(Module module, BufferId x, const Weight& b, bool fused) {
  const Buffer from = at(x);
  // Fused: the next kernel adds the bias while it reads, so only the operation is noted. A plain
  // Linear adds it in the epilogue of its product (addmm); Megatron's layers do so by a kernel.
  const int64_t bytes = fused || context_.plan.tp == 1 ? 0 : from.bytes();
  forward(Elementwise{ElementwiseKind::bias_add, from.elements(), bytes, bytes}, module,
          {x, b.weight}, {x});
  on_backward(module, [=, this] {
    backward(Elementwise{ElementwiseKind::bias_gradient, from.elements(), from.bytes(), 0}, module,
             {gradient_of(x)}, {b.gradient});
  });
  return x;
}

BufferId BlockBuilder::norm(const std::string& name, const std::string& hf, Module module,
                            BufferId x, int64_t cols, bool per_head) {
  const NormType type = context_.model.norm;
  const Weight w = parameter(name + ".weight", {{hf + ".weight", 1}}, cols, -1, false, 0, per_head);
  const bool has_bias = type == NormType::layer && context_.model.norm_bias && !per_head;
  Weight b{-1, -1, 1, cols};
  if (has_bias) b = parameter(name + ".bias", {{hf + ".bias", 1}}, cols, -1, false, 0, per_head);
  const int64_t rows = at(x).elements() / cols;
  const BufferId y = value(name, at(x).rows, at(x).cols);
  const BufferId statistics =
      value(name + ".statistics", rows, type == NormType::layer ? 2 : 1, DType::fp32);
  const Trainer& trainer = context_.trainer;
  const bool fused = trainer.fused_norm &&
                     (trainer.fused_norm_recomputed || context_.plan.recompute != Recompute::full);
  std::vector<BufferId> in{x, w.weight};
  if (has_bias) in.push_back(b.weight);
  // RMSNorm of single torch operations keeps its input in fp32 and the normalised values, too.
  std::vector<BufferId> made{y, statistics};
  if (!fused && type == NormType::rms) {
    made.push_back(value(name + ".fp32", at(x).rows, at(x).cols, DType::fp32));
    made.push_back(value(name + ".normalised", at(x).rows, at(x).cols));
  }
  forward(Norm{Pass::forward, type, rows, cols, fused}, module, in, made);
  on_backward(module, [=, this] {
    const BufferId dx = value("d." + at(x).name, at(x).rows, at(x).cols, at(x).dtype);
    std::vector<BufferId> out{dx, w.gradient};
    if (has_bias) out.push_back(b.gradient);
    std::vector<BufferId> read{gradient_of(y), x, w.weight};
    read.insert(read.end(), made.begin() + 1, made.end());
    backward(Norm{Pass::backward, type, rows, cols, fused}, module, read, out);
    give(x, dx, module);
  });
  return y;
}

BufferId BlockBuilder::copy(const std::string& name, Module module, BufferId x) {
  const int64_t each = bytes_of(at(x).dtype);
  return passes(name, module, x, {each, each}, {each, each});
}

BufferId BlockBuilder::passes(const std::string& name, Module module, BufferId x, PerElement ahead,
                              PerElement back, bool keeps) {
  const Buffer from = at(x);
  const int64_t n = from.elements();
  const BufferId y = value(name, from.rows, from.cols, from.dtype);
  forward(Elementwise{ElementwiseKind::copy, n, n * ahead.read, n * ahead.written}, module, {x},
          {y});
  on_backward(module, [=, this] {
    const BufferId dx = value("d." + from.name, from.rows, from.cols, from.dtype);
    std::vector<BufferId> in{gradient_of(y)};
    if (keeps) in.push_back(x);
    backward(Elementwise{ElementwiseKind::copy, n, n * back.read, n * back.written}, module, in,
             {dx});
    give(x, dx, module);
  });
  return y;
}

BufferId BlockBuilder::residual(const std::string& name, BufferId a, BufferId b) {
  const Buffer from = at(a);
  const int64_t elements = from.elements();
  const int64_t bytes = from.bytes();
  if (context_.trainer.dropout) {  // in place: the mask alone is kept
    const bool fused = context_.trainer.fused_bias_dropout_add;
    const BufferId mask = value(name + ".mask", from.rows, from.cols, DType::uint8);
    forward(Elementwise{ElementwiseKind::dropout, elements, fused ? 0 : bytes,
                        elements + (fused ? 0 : bytes)},
            Module::residual, {b}, {b, mask});
    on_backward(Module::residual, [=, this] {
      const BufferId db = value("d." + at(b).name, from.rows, from.cols, from.dtype);
      backward(Elementwise{ElementwiseKind::dropout, elements, bytes + elements, bytes},
               Module::residual, {gradient_of(b), mask}, {db});
      gradients_[b] = db;
    });
  }
  const BufferId y = value(name, from.rows, from.cols, from.dtype);
  forward(Elementwise{ElementwiseKind::add, elements, 2 * bytes, bytes}, Module::residual, {a, b},
          {y});
  on_backward(Module::residual, [=, this] {
    give(a, gradient_of(y), Module::residual);
    give(b, gradient_of(y), Module::residual);
  });
  return y;
}

BufferId BlockBuilder::activation(const std::string& name, Module module, BufferId x,
                                  ActivationType type, int64_t rows, int64_t cols, bool weighed) {
  const BufferId y = value(name, rows, cols);
  const bool fused = context_.trainer.fused_bias_activation;
  const bool gated = at(x).cols == 2 * cols;
  std::vector<BufferId> out{y}, kept{x}, read{x};
  // Gate and up projection are products of their own there: the first one's result is kept.
  if (gated && module == Module::activation && keeps_alternate_products()) {
    read.push_back(value(at(x).name + ".kept", rows, cols));
    kept.push_back(read.back());
  }
  // Separate kernels for the activation and its product with the gate: the product keeps both.
  if (!fused && gated) {
    out.push_back(value(name + ".gate", rows, cols));
    kept.push_back(out.back());
  }
  forward(Activate{Pass::forward, type, rows, cols, fused, weighed}, module, read, out);
  on_backward(module, [=, this] {
    const BufferId dx = value("d." + at(x).name, at(x).rows, at(x).cols, at(x).dtype);
    std::vector<BufferId> in{gradient_of(y)};
    in.insert(in.end(), kept.begin(), kept.end());
    backward(Activate{Pass::backward, type, rows, cols, fused, weighed}, module, in, {dx});
    give(x, dx, module);
  });
  return y;
}

Block BlockBuilder::finish(Recompute recomputed) {
  if (block_.output >= 0) {
    const Buffer out = at(block_.output);
    block_.output_gradient = value("d." + out.name, out.rows, out.cols, out.dtype);
    gradients_[block_.output] = block_.output_gradient;
  }
  for (auto rule = tape_.rbegin(); rule != tape_.rend(); ++rule) rule->play();
  tape_.clear();
  if (block_.input >= 0) block_.input_gradient = gradient_of(block_.input);
  const Plan& plan = context_.plan;
  const bool selective = plan.recompute == Recompute::selective && recomputed != Recompute::none;
  uint32_t modules = selective ? plan.recompute_modules : 0;
  if (context_.trainer.activation_recomputed) modules |= bit(Module::activation);
  if (recomputed == Recompute::full) {
    recompute(block_, ~0u, context_.trainer.recompute_stops_early);
  } else if (modules != 0) {
    recompute(block_, modules);
  }
  return std::move(block_);
}

}  // namespace meshplan
