// SPDX-License-Identifier: Apache-2.0
// StageRunner's part within one block: phases, lifetimes, gathering and reducing.
#include <algorithm>

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
  const auto* collective = std::get_if<Collective>(&op.body);
  return collective != nullptr ? run_collective(*collective, op, site)
                               : env_.device().apply(op, site);
}

namespace {

bool communicates(const std::vector<Op>& ops) {
  return std::any_of(ops.begin(), ops.end(),
                     [](const Op& op) { return std::holds_alternative<Collective>(op.body); });
}

}  // namespace

/// Runs the operations of a phase, allocating and freeing as the live ranges say. *result: the
/// memory of buffer `kept` after the last operation.
Status StageRunner::run_phase(Instance& instance, Frame& frame, Phase phase, BufferId kept,
                              Memory* result) {
  const Block& block = instance.state.block();
  const std::vector<Op>& ops = block.ops(phase);
  Routed routed;
  const OpSite site{env_, instance.state, frame, &routed};
  auto position = static_cast<size_t>(instance.lifetimes->begin(phase));
  const bool repeats = !ops.empty() && !communicates(ops) && !env_.options().observe;
  bool runs = true;
  if (repeats) {
    MESHPLAN_TRY(runs, env_.device().begin_repeated(
                           {instance.number, static_cast<int64_t>(phase), micro_batch_}));
  }
  for (size_t i = 0; i < ops.size(); ++i, ++position) {
    for (const BufferId id : instance.lifetimes->allocated[position]) {
      MESHPLAN_TRY(frame[static_cast<size_t>(id)],
                   arena_.allocate(block.buffer(id).bytes(), &meters_.activation));
    }
    if (runs) MESHPLAN_CHECK(run_op(ops[i], site));
    if (phase == Phase::forward && env_.options().observe) {
      MESHPLAN_CHECK(show(instance, frame, ops[i]));
    }
    if (i + 1 == ops.size() && kept >= 0) *result = frame[static_cast<size_t>(kept)];
    for (const BufferId id : instance.lifetimes->freed[position]) {
      frame[static_cast<size_t>(id)] = nullptr;
    }
  }
  if (repeats) MESHPLAN_CHECK(env_.device().end_repeated());
  if (phase == Phase::forward) routed_.add(routed);
  return Done{};
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
  MESHPLAN_CHECK(instance.state.open_gradients());
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
  MESHPLAN_CHECK(instance.state.open_gradients());
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
    started.emplace_back(std::get<Collective>(op.body), op, site);
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

Status StageRunner::reduce(Instance& instance, bool last) {
  BlockState& state = instance.state;
  Frame none;
  const OpSite site{env_, state, none, nullptr};
  state.begin_reduce();
  for (const Op& op : state.block().ops(Phase::reduce)) {
    const auto* collective = std::get_if<Collective>(&op.body);
    const bool norms = collective != nullptr && collective->group == Group::tp;
    if (norms && env_.options().fault == Fault::no_norm_reduction) continue;
    MESHPLAN_CHECK(run_op(op, site));
  }
  MESHPLAN_CHECK(state.end_reduce());
  state.close_gradients();
  return last ? Status(Done{}) : state.keep_own_share();
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
  return Done{};
}

}  // namespace meshplan
