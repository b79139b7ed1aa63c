// SPDX-License-Identifier: Apache-2.0
// Parameters, gradients and optimizer states as flats, and what ZeRO and FSDP do with them
// (Rajbhandari et al. 2020; Zhao et al. 2023).
#include <algorithm>

#include "strategies/program/builder.hpp"

namespace meshplan {
namespace {

/// When gradients leave the rank that made them. Whole gradients that are not reduced before the
/// last micro-batch stay for the step.
When reduce_when(const LowerContext& context) {
  const Plan& plan = context.plan;
  const Trainer& trainer = context.trainer;
  if (trainer.pipeline_reduces_once && plan.pp > 1) return When::last_micro_batch;
  if (trainer.reduce_every_micro_batch) return When::each_micro_batch;
  if (plan.zero >= 2 && trainer.reduce_every_round && plan.schedule == ScheduleKind::interleaved) {
    return When::each_round;
  }
  return plan.zero >= 2 ? When::each_micro_batch : When::last_micro_batch;
}

/// Adapters of rank 32 beside every product of a layer have about one percent of its parameters:
/// 32 (1/rows + 1/columns) of a matrix (Hu et al. 2021); the rank is assumed.
constexpr double kAdapterShare = 0.01;

class StateLayout {
 public:
  StateLayout(const LowerContext& context, Block& block) : context_(context), block_(block) {}

  void lay_out(bool experts) {
    FlatState flat;
    flat.shard = experts ? Group::expert_shard : Group::shard;
    flat.replicate = experts ? Group::expert_replicate : Group::replicate;
    for (const bool partial : {true, false}) {
      for (const Parameter& parameter : block_.parameters) {
        if (parameter.expert == experts && parameter.partial_over_tp == partial &&
            !parameter.tied) {
          const int64_t elements = block_.buffer(parameter.weight).elements();
          block_.buffer(parameter.weight).view_offset = flat.used_elements;
          block_.buffer(parameter.gradient).view_offset = flat.used_elements;
          flat.used_elements += elements;
          if (partial) flat.partial_elements += elements;
        }
      }
    }
    if (flat.used_elements == 0) return;
    const int64_t ranks = size_of(flat.shard, plan());
    const int64_t own = (flat.used_elements + ranks - 1) / ranks;
    flat.elements = own * ranks;
    trained_ = context_.trainer.adapters_only ? kAdapterShare : 1;
    buffers(flat, own, experts ? "experts." : "");
    for (const Parameter& parameter : block_.parameters) {
      if (parameter.expert != experts || parameter.tied) continue;
      block_.buffer(parameter.weight).view_of = flat.weight;
      block_.buffer(parameter.gradient).view_of = flat.gradient;
      block_.buffer(parameter.gradient).dtype = block_.buffer(flat.gradient).dtype;
    }
    phases(flat, own);
    block_.states.push_back(flat);
  }

 private:
  const Plan& plan() const { return context_.plan; }

  /// Of `elements`, those that have gradients and optimizer states.
  int64_t trained(int64_t elements) const {
    return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(elements) * trained_));
  }

  BufferId add(const std::string& name, BufferClass kind, DType type, int64_t elements) {
    block_.buffers.push_back({name, kind, type, 1, elements});
    return static_cast<BufferId>(block_.buffers.size() - 1);
  }
  BufferId add_shard(const std::string& name, BufferClass kind, DType type, int64_t own,
                     BufferId whole) {
    const BufferId id = add(name, kind, type, own);
    block_.buffer(id).view_of = whole;
    block_.buffer(id).own_shard = true;
    return id;
  }

  void buffers(FlatState& flat, int64_t own, const std::string& prefix) {
    const DType value = context_.value();
    const bool sharded_weights = plan().zero >= 3;
    const bool sharded_gradients = plan().zero >= 2;
    const bool cast = sharded_weights && !context_.trainer.master_weights && value != DType::fp32 &&
                      context_.trainer.optimizer_moment == DType::fp32;
    // Weights of a layer exist in 8 bit alone where products read frozen ones so, and where they
    // are gathered so and not kept along the columns as well (both together take what 16 bit do).
    const Trainer& trainer = context_.trainer;
    const bool alone8 = is_quantised(plan().compute) && trainer.quantised_weights_kept &&
                        !sharded_weights && block_.name != "embedding" && block_.name != "head" &&
                        (trainer.adapters_only ||
                         (trainer.quantised_weights_gathered && trainer.weights_transposed_anew));
    flat.weight =
        add(prefix + "weights", BufferClass::parameter, alone8 ? DType::fp8 : value, flat.elements);
    if (sharded_weights) {
      block_.buffer(flat.weight).transient = true;
      // fp32 weights are cast when gathered; else the shard is kept in the compute type.
      flat.weight_shard =
          add(prefix + "weights.shard", BufferClass::parameter, cast ? DType::fp32 : value, own);
    } else {
      flat.weight_shard =
          add_shard(prefix + "weights.shard", BufferClass::parameter, value, own, flat.weight);
    }
    // Gradients that are reduced after each micro-batch exist whole only in between, in the
    // compute type.
    flat.gradient =
        add(prefix + "gradients", BufferClass::gradient,
            sharded_gradients && reduce_when(context_) == When::each_micro_batch ? value
                                                                                 : plan().gradient,
            trained(flat.elements));
    if (sharded_gradients) {
      block_.buffer(flat.gradient).transient = true;
      flat.gradient_shard =
          add(prefix + "gradients.shard", BufferClass::gradient, plan().gradient, trained(own));
    } else {
      flat.gradient_shard = add_shard(prefix + "gradients.shard", BufferClass::gradient,
                                      plan().gradient, trained(own), flat.gradient);
    }
    if (context_.trainer.autograd_gradients_kept && !sharded_gradients &&
        bytes_of(plan().gradient) > bytes_of(value)) {
      add(prefix + "gradients.autograd", BufferClass::gradient, value, trained(flat.elements));
    }
    const DType moment = context_.trainer.optimizer_moment;
    if (value != DType::fp32 && context_.trainer.master_weights) {
      flat.master = add(prefix + "master", BufferClass::optimizer, DType::fp32, trained(own));
    }
    flat.moment1 = add(prefix + "moment1", BufferClass::optimizer, moment, trained(own));
    flat.moment2 = add(prefix + "moment2", BufferClass::optimizer, moment, trained(own));
    if (plan().optimizer_offload || context_.trainer.optimizer_paged) {
      for (const BufferId id : {flat.master, flat.moment1, flat.moment2}) {
        if (id >= 0) block_.buffer(id).on_host = true;
      }
    }
    if (plan().optimizer_offload && context_.trainer.offload_weights && sharded_weights) {
      block_.buffer(flat.weight_shard).on_host = true;
      block_.buffer(flat.gradient_shard).on_host = true;
    }
    if (context_.trainer.optimizer_in_backward && !sharded_gradients) {
      block_.buffer(flat.gradient).transient = true;
    }
  }

  void collective(Phase phase, CollectiveOp op, Group group, BufferId in, BufferId out,
                  int64_t elements, DType type, bool whole = false) {
    if (size_of(group, plan()) == 1) return;
    Collective body{op, group, elements * bytes_of(type), type};
    body.whole = whole;
    // What ZeRO 3 gathers and frees goes layer by layer.
    if (context_.trainer.bucket_bytes > 0 && plan().zero <= 2) {
      const int64_t layers = std::max<int64_t>(1, context_.model.layers / plan().pp / plan().vpp);
      body.pooled =
          std::min(static_cast<int64_t>(context_.trainer.bucket_bytes), layers * body.bytes);
    }
    block_.ops(phase).push_back({body, Module::state, {in}, {out}});
  }

  void phases(const FlatState& flat, int64_t own) {
    const DType reduce = std::max(bytes_of(context_.trainer.reduce), int64_t{2}) == 4
                             ? DType::fp32
                             : context_.value();
    const DType value = context_.value();
    if (plan().zero >= 1) {
      // Weights that are kept whole need only what was trained.
      const bool quantised = context_.trainer.quantised_weights_gathered &&
                             is_quantised(plan().compute) && block_.name != "embedding" &&
                             block_.name != "head";
      collective(Phase::gather, CollectiveOp::all_gather, flat.shard, flat.weight_shard,
                 flat.weight, plan().zero >= 3 ? flat.elements : trained(flat.elements),
                 quantised ? DType::fp8 : value);
    }
    if (flat.partial_elements > 0) {
      const BufferId part = add("gradients.partial", BufferClass::gradient,
                                block_.buffer(flat.gradient).dtype, flat.partial_elements);
      block_.buffer(part).view_of = flat.gradient;
      collective(Phase::reduce, CollectiveOp::all_reduce, Group::tp, part, part,
                 flat.partial_elements, block_.buffer(flat.gradient).dtype);
    }
    const bool whole = context_.trainer.zero_all_reduces >= plan().zero;
    if (plan().zero == 1 && whole) {
      for (const Group group : {flat.shard, flat.replicate}) {
        collective(Phase::reduce, CollectiveOp::all_reduce, group, flat.gradient, flat.gradient,
                   trained(flat.elements), reduce);
      }
    } else if (plan().zero >= 1) {
      collective(Phase::reduce, CollectiveOp::reduce_scatter, flat.shard, flat.gradient,
                 flat.gradient_shard, trained(flat.elements), reduce, whole);
      collective(Phase::reduce, CollectiveOp::all_reduce, flat.replicate, flat.gradient_shard,
                 flat.gradient_shard, trained(own), reduce);
    } else {
      collective(Phase::reduce, CollectiveOp::all_reduce, flat.replicate, flat.gradient,
                 flat.gradient, trained(flat.elements), reduce);
    }
    update(flat, trained(own));
  }

  void update(const FlatState& flat, int64_t own) {
    std::vector<BufferId> states{flat.moment1, flat.moment2};
    // AdamW reads the gradient, reads and writes moments and master weights, writes the weights.
    int64_t bytes = bytes_of(plan().gradient) + 4 * bytes_of(context_.trainer.optimizer_moment) +
                    bytes_of(block_.buffer(flat.weight_shard).dtype);
    if (flat.master >= 0) {
      states.push_back(flat.master);
      bytes += 2 * bytes_of(DType::fp32);
    } else {
      bytes += bytes_of(block_.buffer(flat.weight_shard).dtype);
    }
    std::vector<BufferId> in{flat.gradient_shard};
    in.insert(in.end(), states.begin(), states.end());
    std::vector<BufferId> out{flat.weight_shard};
    out.insert(out.end(), states.begin(), states.end());
    block_.ops(Phase::update)
        .push_back({GradientNorm{own, plan().gradient}, Module::state, {flat.gradient_shard}, {}});
    block_.ops(Phase::update)
        .push_back({OptimizerStep{own, own * bytes, plan().optimizer_offload}, Module::state,
                    std::move(in), std::move(out)});
  }

  const LowerContext& context_;
  Block& block_;
  double trained_ = 1;
};

}  // namespace

void lay_out_states(const LowerContext& context, Block& block) {
  StateLayout layout(context, block);
  layout.lay_out(false);
  layout.lay_out(true);
  const Plan& plan = context.plan;
  const bool shards = !block.ops(Phase::gather).empty();
  block.parameters_freed = plan.zero >= 3 && plan.reshard_after_forward;
  if (shards) {
    block.gather_when = block.parameters_freed ? When::each_micro_batch : When::first_micro_batch;
  }
  block.reduce_when = reduce_when(context);
}

}  // namespace meshplan
