// SPDX-License-Identifier: Apache-2.0
// BlockBuilder's matrix products: operands in 8 bit, weight gradients, and what tensor parallelism
// adds around them.
#include <utility>

#include "strategies/program/builder.hpp"

namespace meshplan {
namespace {

/// 8-bit products read weights that have no 16-bit copy: frozen ones, or those gathered so.
bool only_8_bit(const Trainer& trainer) {
  return trainer.quantised_weights_kept &&
         (trainer.adapters_only || trainer.quantised_weights_gathered);
}

}  // namespace

void BlockBuilder::weight_gradient(Module module, const Gemm& gemm, BufferId dy, BufferId x,
                                   const Weight& w) {
  if (context_.trainer.adapters_only) return;  // frozen weights: their adapter has its own products
  const bool later = context_.split_weight_gradient() && !at_once_;
  const Phase phase = later ? Phase::weight : Phase::backward;
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

}  // namespace meshplan
