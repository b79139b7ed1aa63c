// SPDX-License-Identifier: Apache-2.0
// How is a block written down once, so that its backward pass, its collectives and its gradients
// follow?
//
// A lowering names the forward operations; each one pushes a rule for its backward pass on a tape,
// which finish() plays in reverse. Gradients of a value that is used more than once are summed.
// What tensor and sequence parallelism add (gather, reduce-scatter, all-reduce) stands in
// column() and row() alone (Shoeybi et al. 2019; Korthikanti et al. 2022, section 4.2).
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "strategies/program/program.hpp"

namespace meshplan {

struct LowerContext {
  const Model& model;
  const Plan& plan;
  const Batch& batch;
  const Trainer& trainer;
  /// Rows kept for each expert over its even share of the tokens; experts / top_k has room for any
  /// routing.
  double expert_capacity = 1;

  bool sp() const { return plan.tp > 1 && plan.sequence_parallel; }
  int64_t tokens() const { return plan.micro_batch * batch.sequence / plan.cp; }  ///< T
  int64_t own_tokens() const { return sp() ? tokens() / plan.tp : tokens(); }     ///< t
  /// Type of activations: 8-bit and TF32 products keep 16-bit and 32-bit values between them.
  DType value() const;
  bool split_weight_gradient() const;  ///< schedule runs weight gradients as actions of their own
};

/// A weight as column() and row() take it.
struct Weight {
  BufferId weight, gradient;
  int64_t rows, cols;  ///< of this rank's shard, one expert's where groups > 1
};

class BlockBuilder {
 public:
  BlockBuilder(const LowerContext& context, std::string name);

  const LowerContext& context() const { return context_; }

  /// A value of this micro-batch, [rows, cols].
  BufferId value(const std::string& name, int64_t rows, int64_t cols);
  BufferId value(const std::string& name, int64_t rows, int64_t cols, DType type);
  BufferId given(const std::string& name, int64_t rows, int64_t cols, DType type);
  /// Rows [first, first + count) of a value, in its own memory.
  BufferId view(const std::string& name, BufferId of, int64_t first, int64_t count);
  void set_input(BufferId id) { block_.input = id; }
  void set_output(BufferId id) { block_.output = id; }
  const Buffer& at(BufferId id) const { return block_.buffer(id); }

  /// Parameter of the whole size rows x cols, cut by tp (or etp) along tp_dim. experts > 0: that
  /// many local experts stacked. partial: see Parameter::partial_over_tp.
  Weight parameter(const std::string& name, std::vector<Piece> pieces, int64_t cols, int tp_dim,
                   bool decay, int64_t experts = 0, bool partial = false);
  /// The same tensor as the embedding block's of this stage (tied head).
  void tie_last_parameter();

  /// y [T, n] = x w^T, w cut by rows: gathers the tokens of x first under sequence parallelism.
  /// parts: products that w is made of, see Trainer::tp_sums_each_product.
  BufferId column(const std::string& name, Module module, BufferId x, const Weight& w,
                  BufferId bias_weight = -1, BufferId bias_gradient = -1,
                  DType out = DType::tf32 /* = value() */, int parts = 1);
  /// y [t, n] = x w^T, w cut by columns: partial sums are reduced over tp.
  BufferId row(const std::string& name, Module module, BufferId x, const Weight& w);
  /// y = x w^T without communication. groups > 1: that many independent products.
  BufferId local(const std::string& name, Module module, BufferId x, const Weight& w,
                 int64_t groups = 1, DType out = DType::tf32);
  /// x += b, in place.
  BufferId bias(Module module, BufferId x, const Weight& b, bool fused);
  /// Norm over rows of `cols` values. hf: name of the weight. per_head: each tp rank norms its own
  /// heads with the same weight.
  BufferId norm(const std::string& name, const std::string& hf, Module module, BufferId x,
                int64_t cols, bool per_head = false);
  /// The same values in another order.
  BufferId copy(const std::string& name, Module module, BufferId x);
  /// What is not one kernel: so many bytes read and written for each element, forward and backward.
  /// The host's launches are counted as one. keeps: the backward pass reads x.
  struct PerElement {
    int64_t read, written;
  };
  BufferId passes(const std::string& name, Module module, BufferId x, PerElement ahead,
                  PerElement back, bool keeps = false);
  /// y += b(a(x)) beside a product y of x (Hu et al. 2021), where adapters alone are trained.
  void adapter(Module module, BufferId x, BufferId y);
  /// a + b; with dropout of the trainer on b, in one kernel where it fuses that.
  BufferId residual(const std::string& name, BufferId a, BufferId b);
  /// weighed: of experts whose gates weigh this result, not their output.
  BufferId activation(const std::string& name, Module module, BufferId x, ActivationType type,
                      int64_t rows, int64_t cols, bool weighed = false);
  /// y = collective of x with `rows` rows; its backward is `back`. Of sent: copies and reach hold
  /// both ways, map_bytes forward; the rest is set here.
  BufferId exchange(const std::string& name, Module module, CollectiveOp op, CollectiveOp back,
                    Group group, BufferId x, int64_t rows, const Collective& sent = {});

  /// Operation of the forward pass, and the rule of its backward pass.
  void forward(const Body& body, Module module, std::vector<BufferId> in,
               std::vector<BufferId> out);
  void on_backward(Module module, std::function<void()> rule);
  /// Operation of the backward pass (from within a rule).
  void backward(const Body& body, Module module, std::vector<BufferId> in,
                std::vector<BufferId> out);
  void weight_gradient(Module module, const Gemm& gemm, BufferId dy, BufferId x, const Weight& w);

  /// From within a rule: what `body` puts forward is done here, in the backward pass, and its own
  /// rules right after it.
  void at_once(const std::function<void()>& body);

  /// The plan's selective recompute keeps every second product's result of a block.
  bool keeps_alternate_products() const;
  /// `id` is kept until the backward pass of this block begins, though nothing there reads it.
  void hold(BufferId id);

  /// Gradient of a value; must have been given by a later operation.
  BufferId gradient_of(BufferId id) const;
  bool has_gradient(BufferId id) const { return gradients_.count(id) > 0; }
  /// Hands `gradient` to value `id`; sums with what is there.
  void give(BufferId id, BufferId gradient, Module module);

  /// Plays the tape from output_gradient (if the block has an output), and recomputes everything,
  /// the plan's modules (selective; if it has some) or nothing.
  Block finish(Recompute recomputed);

 private:
  /// What the product of this module is done in: logits and router stay in 16 bit.
  DType product_type(Module module) const;
  /// 8-bit (or 4-bit) operands of `x`, or x itself where `type` needs none.
  BufferId quantised(Phase phase, DType type, Module module, BufferId x);
  /// What the weight gradient reads: the 8-bit input, or that of an input kept in 16 bit.
  BufferId input_again(DType type, Module module, BufferId x, BufferId quantised_x);
  void quantise_weight(DType type, Module module, const Weight& w);
  void transpose_weight(DType type, Module module, const Weight& w);
  Op collective(CollectiveOp op, Group group, BufferId in, BufferId out, Module module) const;

  const LowerContext& context_;
  Block block_;
  struct Rule {
    Module module;
    std::function<void()> play;
  };
  /// Plays `rules` in reverse.
  static void play(const std::vector<Rule>& rules);
  std::vector<Rule> tape_;
  bool at_once_ = false;
  std::map<BufferId, BufferId> gradients_;
  BufferId held_ = -1;  ///< for the next operation of the backward pass to read
};

/// Flats, and the gather, reduce and update phases of `block` by the plan's zero level.
void lay_out_states(const LowerContext& context, Block& block);

/// Inserts copies of the forward operations of `modules` (bit set of Module) in front of their
/// backward operations and lets those read the copies: activation checkpointing of that segment.
/// stops_early: a segment ends at the last value that the backward pass reads.
void recompute(Block& block, uint32_t modules, bool stops_early = false);

}  // namespace meshplan
