// SPDX-License-Identifier: Apache-2.0
// StageRunner's part within one block: phases, lifetimes, gathering and reducing.
#include <algorithm>
#include <utility>

#include "strategies/program/overlap.hpp"
#include "validate/execute/collective.hpp"
#include "validate/execute/stage_runner.hpp"

namespace meshplan {

int64_t StageRunner::alive(const Instance& instance, const Frame& frame) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < frame.size(); ++i) {
    if (frame[i]) bytes += instance.state.block().buffers[i].bytes();
  }
  return bytes;
}

Status StageRunner::show(const Instance& instance, const Frame& frame, const Op& op) const {
  for (const BufferId id : op.out) {
    const Buffer& buffer = instance.state.block().buffer(id);
    const Memory& memory = frame[static_cast<size_t>(id)];
    if (!memory || (buffer.dtype != DType::fp32 && buffer.dtype != DType::bf16)) continue;
    std::vector<float> values(static_cast<size_t>(buffer.elements()));
    MESHPLAN_CHECK(get(env_.device(), {memory.get(), buffer.dtype}, values));
    env_.options().observe(env_.place(), buffer, micro_batch_, values.data());
  }
  return Done{};
}

Status StageRunner::run_op(const Op& op, const OpSite& site) {
  MESHPLAN_CHECK(in_flight_.before(op, site));
  const auto* collective = std::get_if<Collective>(&op.body);
  if (collective == nullptr) return env_.device().apply(op, site);
  const bool beside = overlapped(collective->group, program_.trainer) && !env_.options().observe;
  return beside ? in_flight_.start(*collective, op, site) : run_collective(*collective, op, site);
}

namespace {

bool communicates(const std::vector<Op>& ops) {
  return std::any_of(ops.begin(), ops.end(),
                     [](const Op& op) { return std::holds_alternative<Collective>(op.body); });
}

}  // namespace

Status StageRunner::allocate_at(const PhaseSite& at, size_t position) {
  for (const BufferId id : at.instance.lifetimes->allocated[position]) {
    MESHPLAN_TRY(
        at.frame[static_cast<size_t>(id)],
        arena_.allocate(at.instance.state.block().buffer(id).bytes(), &meters_.activation));
  }
  return Done{};
}

void StageRunner::free_at(const PhaseSite& at, size_t position) {
  for (const BufferId id : at.instance.lifetimes->freed[position]) {
    at.frame[static_cast<size_t>(id)] = nullptr;
  }
}

/// Runs the operations of a phase, allocating and freeing as the live ranges say. *result: the
/// memory of buffer `kept` after the last operation.
Status StageRunner::run_phase(Instance& instance, Frame& frame, Phase phase, BufferId kept,
                              Memory* result) {
  const Block& block = instance.state.block();
  const std::vector<Op>& ops = block.ops(phase);
  Routed routed;
  const PhaseSite at{instance, frame, {env_, instance.state, frame, &routed}};
  const auto first = static_cast<size_t>(instance.lifetimes->begin(phase));
  const bool observed = env_.options().observe != nullptr;
  const bool repeats = !ops.empty() && !communicates(ops) && !observed;
  bool runs = true;
  if (repeats) {
    MESHPLAN_TRY(runs, env_.device().begin_repeated(
                           {instance.number, static_cast<int64_t>(phase), micro_batch_}));
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    const Joint joint =
        observed ? Joint::none : joint_at(block, phase, i, program_.plan, program_.trainer);
    switch (joint) {
      case Joint::none:
        MESHPLAN_CHECK(allocate_at(at, first + i));
        if (runs) MESHPLAN_CHECK(run_op(ops[i], at.site));
        break;
      case Joint::gather_product:
        MESHPLAN_CHECK(gather_and_multiply(at, ops[i], ops[i + 1], first + i));
        break;
      case Joint::product_scatter:
        MESHPLAN_CHECK(multiply_and_scatter(at, ops[i], ops[i + 1], first + i));
        break;
      case Joint::sum_norm:
        MESHPLAN_CHECK(sum_and_norm(at, ops[i], ops[i + 1], first + i, runs));
        break;
    }
    if (joint != Joint::none) ++i;
    if (phase == Phase::forward && observed) MESHPLAN_CHECK(show(instance, frame, ops[i]));
    if (i + 1 == ops.size() && kept >= 0) *result = frame[static_cast<size_t>(kept)];
    free_at(at, first + i);
  }
  if (repeats) MESHPLAN_CHECK(env_.device().end_repeated());
  MESHPLAN_CHECK(in_flight_.finish());
  if (phase == Phase::forward) routed_.add(routed);
  return Done{};
}

/// The operands of the sum are read before anything takes their place.
Status StageRunner::sum_and_norm(const PhaseSite& at, const Op& sum, const Op& norm,
                                 size_t position, bool runs) {
  const auto& shape = std::get<Norm>(norm.body);
  MESHPLAN_CHECK(allocate_at(at, position));
  MESHPLAN_CHECK(in_flight_.before(sum, at.site));
  SumAndNorm operands{.rows = shape.rows,
                      .cols = shape.cols,
                      .epsilon = program_.model.norm_epsilon,
                      .a = at.site.tensor(sum.in[0]),
                      .b = at.site.tensor(sum.in[1]),
                      .sum = at.site.tensor(sum.out[0])};
  free_at(at, position);
  MESHPLAN_CHECK(allocate_at(at, position + 1));
  MESHPLAN_CHECK(in_flight_.before(norm, at.site));
  operands.weight = at.site.tensor(norm.in[1]);
  operands.y = at.site.tensor(norm.out[0]);
  operands.rstd = at.site.tensor(norm.out[1]);
  return runs ? env_.device().sum_and_norm(operands) : Status(Done{});
}

Status StageRunner::give_tokens(Instance& instance, Frame& frame, int64_t micro_batch) {
  const Block& block = instance.state.block();
  const int64_t length = program_.batch.sequence;
  const int64_t share = program_.plan.dp();
  std::vector<int32_t> sequence(static_cast<size_t>(length + 1));
  for (const BufferId id : instance.lifetimes->given) {
    const Buffer& buffer = block.buffer(id);
    Memory& memory = frame[static_cast<size_t>(id)];
    MESHPLAN_TRY(memory, arena_.allocate(buffer.bytes(), &meters_.activation));
    std::vector<int32_t> rows;
    const size_t ahead = buffer.name == "targets" ? 1 : 0;
    for (int64_t i = 0; i < program_.plan.micro_batch; ++i) {
      const int64_t index =
          (micro_batch * share + env_.place().data) * program_.plan.micro_batch + i;
      MESHPLAN_CHECK(tokens_.read(step_, index, length, sequence.data()));
      for (const int32_t p : env_.token_positions()) {
        rows.push_back(sequence[static_cast<size_t>(p) + ahead]);
      }
    }
    MESHPLAN_CHECK(env_.device().upload(rows.data(), buffer.bytes(), memory.get()));
  }
  return Done{};
}

Status StageRunner::forward_block(Instance& instance, Frame& frame, int64_t micro_batch,
                                  Memory* x) {
  const Block& block = instance.state.block();
  frame.assign(block.buffers.size(), nullptr);
  micro_batch_ = micro_batch;
  const int64_t before = meters_.activation.alive;
  const int64_t input = block.input >= 0 ? block.buffer(block.input).bytes() : 0;
  if (block.input >= 0) frame[static_cast<size_t>(block.input)] = std::move(*x);
  *x = nullptr;
  meters_.activation.restart();
  MESHPLAN_CHECK(give_tokens(instance, frame, micro_batch));
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::forward, block.output, x));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.forward = std::max(peaks.forward, meters_.activation.peak - before + input);
  peaks.saved = std::max(peaks.saved, alive(instance, frame));
  return Done{};
}

Status StageRunner::backward_block(Instance& instance, Frame& frame, int64_t micro_batch,
                                   Memory* gradient) {
  micro_batch_ = micro_batch;
  const Block& block = instance.state.block();
  MESHPLAN_CHECK(open_gradients(instance));
  int64_t others = meters_.activation.alive - alive(instance, frame);
  if (block.output_gradient >= 0) {
    others -= block.buffer(block.output_gradient).bytes();
    frame[static_cast<size_t>(block.output_gradient)] = std::move(*gradient);
  }
  *gradient = nullptr;
  meters_.activation.restart();
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::backward, block.input_gradient, gradient));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.backward = std::max(peaks.backward, meters_.activation.peak - others);
  peaks.held = std::max(peaks.held, alive(instance, frame));
  return Done{};
}

Status StageRunner::weight_block(Instance& instance, Frame& frame, int64_t micro_batch) {
  micro_batch_ = micro_batch;
  MESHPLAN_CHECK(open_gradients(instance));
  const int64_t others = meters_.activation.alive - alive(instance, frame);
  meters_.activation.restart();
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::weight, -1, nullptr));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.weight = std::max(peaks.weight, meters_.activation.peak - others);
  return Done{};
}

Status StageRunner::gather(Instance& instance) {
  Frame none;
  const OpSite site{env_, instance.state, none, nullptr};
  if (const auto started = ahead_.find(&instance); started != ahead_.end()) {
    for (StartedGather& one : started->second) MESHPLAN_CHECK(one.wait(site));
    ahead_.erase(started);
    return Done{};
  }
  MESHPLAN_CHECK(instance.state.open_weights());
  for (const Op& op : instance.state.block().ops(Phase::gather)) MESHPLAN_CHECK(run_op(op, site));
  return Done{};
}

Status StageRunner::gather_ahead(Instance& instance) {
  if (program_.trainer.fsdp_prefetch < 1 || ahead_.contains(&instance)) return Done{};
  MESHPLAN_CHECK(instance.state.open_weights());
  Frame none;
  const OpSite site{env_, instance.state, none, nullptr};
  std::vector<StartedGather>& started = ahead_[&instance];
  for (const Op& op : instance.state.block().ops(Phase::gather)) {
    MESHPLAN_TRY(StartedGather one, StartedGather::start(op, site));
    started.push_back(std::move(one));
  }
  return Done{};
}

Status StageRunner::finish_block(Instance& instance, bool last) {
  const Block& block = instance.state.block();
  const bool end = block.input < 0 || block.output < 0;
  if (program_.tied_across_stages && end) return Done{};  // reduce_tied
  if (block.reduce_when == When::each_micro_batch || last) return reduce(instance, last);
  return Done{};
}

Status StageRunner::open_gradients(Instance& instance) {
  if (reduction_ != nullptr && (&reduction_->state() == &instance.state ||
                                &reduction_->state() == instance.state.tied_to())) {
    MESHPLAN_CHECK(finish_reduction());
  }
  return instance.state.open_gradients();
}

Status StageRunner::reduce(Instance& instance, bool last) {
  MESHPLAN_CHECK(finish_reduction());
  reduction_ = std::make_unique<Reduction>(env_, instance.state, last);
  MESHPLAN_CHECK(reduction_->start());
  return program_.trainer.overlap_grad_reduce ? Status(Done{}) : finish_reduction();
}

Status StageRunner::finish_reduction() {
  const std::unique_ptr<Reduction> done = std::exchange(reduction_, nullptr);
  return done != nullptr ? done->finish() : Status(Done{});
}

/// The two copies of a tied table see each other's gradient before either is reduced.
Status StageRunner::reduce_tied() {
  for (Instance* instance : all_) {
    const Block& block = instance->state.block();
    if (block.input >= 0 && block.output >= 0) continue;
    for (const Parameter& parameter : block.parameters) {
      if (parameter.pieces.front().name != "embed_tokens.weight") continue;
      const Tensor gradient = instance->state.at(parameter.gradient);
      MESHPLAN_CHECK(env_.group(Group::tied)
                         ->all_reduce(gradient.data, block.buffer(parameter.gradient).elements(),
                                      element_of(gradient.type)));
    }
    MESHPLAN_CHECK(reduce(*instance, true));
  }
  return finish_reduction();
}

}  // namespace meshplan
