// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/builder.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace meshplan {

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

BufferId BlockBuilder::view(const std::string& name, BufferId of, int64_t first, int64_t count) {
  const Buffer whole = at(of);
  const BufferId id = value(name, count, whole.cols, whole.dtype);
  block_.buffer(id).view_of = of;
  block_.buffer(id).view_offset = first * whole.cols;
  return id;
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
  const Phase phase = at_once_ ? Phase::backward : Phase::forward;
  block_.ops(phase).push_back({body, module, std::move(in), std::move(out)});
}

void BlockBuilder::backward(const Body& body, Module module, std::vector<BufferId> in,
                            std::vector<BufferId> out) {
  if (held_ >= 0) in.push_back(std::exchange(held_, -1));
  block_.ops(Phase::backward).push_back({body, module, std::move(in), std::move(out)});
}

void BlockBuilder::at_once(const std::function<void()>& body) {
  const std::vector<Rule> outer = std::exchange(tape_, {});
  const bool nested = std::exchange(at_once_, true);
  body();
  play(std::exchange(tape_, outer));
  at_once_ = nested;
}

void BlockBuilder::play(const std::vector<Rule>& rules) {
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) rule->play();
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
  play(std::exchange(tape_, {}));
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
