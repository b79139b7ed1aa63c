// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/compose.hpp"

#include <algorithm>
#include <limits>

#include "costmodel/collectives/normal.hpp"

namespace meshplan {
namespace {

struct RunPrice {
  const PassPrice* pass;
  const StatePrice* state;
  int64_t count;
};

std::vector<RunPrice> priced(const Chunk& chunk, const PricedKinds& prices) {
  std::vector<RunPrice> runs;
  for (const BlockRun& run : chunk.runs) {
    const auto kind = static_cast<size_t>(run.block);
    runs.push_back({prices.passes[kind], prices.states[kind], run.count});
  }
  return runs;
}

/// Mean occupancy while gathers or reductions go on beside a chain.
double occupancy_of(const PhaseTime& beside) {
  return beside.wall > 0 ? beside.occupied / beside.wall : 0;
}

void expose(PhaseTime& time, const ChainTime& chain, double slowdown) {
  time.exposed[static_cast<size_t>(Group::shard)] += chain.exposed();
  time.network[static_cast<size_t>(Group::shard)] += chain.network;
  const double slower = slowdown * std::min(chain.hidden(), chain.compute);
  time.slowdown += slower;
  time.wall += chain.exposed() + slower;
}

/// Whole gradients that exist only until their block's reduction.
int64_t reduced_gradients(const StatePrice& state) {
  return state.reduce_when == When::last_micro_batch ? 0 : state.memory.whole_gradients;
}

/// Bytes while block i is worked on: its own whole weights and those gathered ahead; its own whole
/// gradients and those of the block before, which are being reduced.
int64_t transient(const std::vector<RunPrice>& runs, size_t i, bool first_of_run, bool backward,
                  int prefetch) {
  const StatePrice& state = *runs[i].state;
  int64_t bytes = 0;
  const bool more_in_run = runs[i].count > 1 && first_of_run;
  const size_t next = backward ? i - 1 : i + 1;  // wraps below 0
  if (state.freed) bytes += state.memory.gathered;
  if (prefetch > 0) {
    const StatePrice* ahead =
        more_in_run ? &state : (next < runs.size() ? runs[next].state : nullptr);
    if (ahead != nullptr && ahead->freed) bytes += ahead->memory.gathered;
  }
  if (backward) {
    bytes += reduced_gradients(state);
    const StatePrice* before = runs[i].count > 1 && !first_of_run
                                   ? &state
                                   : (i + 1 < runs.size() ? runs[i + 1].state : nullptr);
    if (before != nullptr) bytes += reduced_gradients(*before);
  }
  return bytes;
}

/// kept_output: of the chunk's last block, which the next stage has a copy of.
ChunkBytes chunk_bytes(const std::vector<RunPrice>& runs, int prefetch, bool kept_output) {
  ChunkBytes bytes;
  const int64_t output =
      kept_output && !runs.empty() ? runs.back().pass->memory.output : int64_t{0};
  int64_t alive = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    const BlockMemory& memory = runs[i].pass->memory;
    const int64_t before_last = (runs[i].count - 1) * memory.saved;
    bytes.forward_peak =
        std::max({bytes.forward_peak,
                  alive + memory.forward_peak + transient(runs, i, true, false, prefetch),
                  alive + before_last + memory.forward_peak +
                      transient(runs, i, runs[i].count == 1, false, prefetch)});
    alive += runs[i].count * memory.saved;
  }
  bytes.saved = alive;
  int64_t held = 0;
  for (size_t i = runs.size(); i-- > 0;) {
    const BlockMemory& memory = runs[i].pass->memory;
    bytes.temporary = std::max(bytes.temporary,
                               std::max(memory.forward_peak, memory.backward_peak) - memory.saved);
    const int64_t n = runs[i].count;
    const auto peak = [&](int64_t done) {  // blocks of the run already behind
      return alive - (done + 1) * memory.saved + held + done * memory.held + memory.backward_peak +
             transient(runs, i, done == 0, true, prefetch);
    };
    // Saved falls and held rises from block to block, so one of the ends is the worst; the second
    // has the first one's gradients beside its own.
    bytes.backward_peak =
        std::max({bytes.backward_peak, peak(0), peak(std::min<int64_t>(1, n - 1)), peak(n - 1)});
    alive -= n * memory.saved;
    held += n * memory.held;
    bytes.weight_peak = std::max(bytes.weight_peak, memory.weight_peak - memory.held);
  }
  bytes.kept_for_weight = held;
  bytes.backward_peak -= bytes.saved;
  // An output that the sender does not free lives until its backward pass.
  bytes.saved += output;
  return bytes;
}

/// Layers of a run whose kept activations are moved to the host. Those of two stay: one layer is
/// worked on while the other's are on their way.
int64_t layers_on_host(const BlockRun& run, const RunPrice& price, const Trainer& trainer) {
  if (run.first_layer < 0 || !price.state->freed) return 0;
  const double share = trainer.layers_on_host_share * static_cast<double>(run.count);
  return std::clamp<int64_t>(static_cast<int64_t>(share), 0, std::max<int64_t>(run.count - 2, 0));
}

}  // namespace

std::vector<ChunkBytes> stage_chunks(const Stage& stage, const PricedKinds& prices,
                                     const Trainer& trainer) {
  std::vector<ChunkBytes> chunks;
  for (const Chunk& chunk : stage.chunks) {
    // The embedding and the head are no layers. A stage that has both is no pipeline's. What the
    // head puts out are the logits of the micro-batch before, until the engine's buffer is used
    // again.
    const bool ends = !chunk.runs.empty() && chunk.runs.back().first_layer < 0;
    const bool whole = ends && stage.chunks.size() == 1 && chunk.runs.front().first_layer < 0;
    const bool kept = !trainer.deallocate_pipeline_outputs && !whole;
    std::vector<RunPrice> runs = priced(chunk, prices);
    int64_t on_host = 0;
    for (size_t i = 0; whole && trainer.layers_on_host_share > 0 && i < runs.size(); ++i) {
      const int64_t moved = layers_on_host(chunk.runs[i], runs[i], trainer);
      on_host += moved * runs[i].pass->memory.saved;
      runs[i].count -= moved;
    }
    chunks.push_back(
        chunk_bytes(runs, trainer.fsdp_prefetch, kept && (!ends || trainer.logits_held)));
    chunks.back().on_host = on_host;
  }
  return chunks;
}

BlockMemory stage_states(const Stage& stage, const PricedKinds& prices) {
  BlockMemory states;
  for (const Chunk& chunk : stage.chunks) {
    for (const BlockRun& run : chunk.runs) {
      const StatePrice& state = *prices.states[static_cast<size_t>(run.block)];
      states.parameters += run.count * state.memory.parameters;
      states.gradients += run.count * (state.memory.gradients + state.memory.whole_gradients -
                                       reduced_gradients(state));
      states.optimizer += run.count * state.memory.optimizer;
      states.host += run.count * state.memory.host;
      states.placeholders = std::max(states.placeholders, state.memory.placeholders);
      // Whole weights that are kept after the first gather stay for the step.
      if (!state.freed) states.gathered += run.count * state.memory.gathered;
    }
  }
  return states;
}

StagePrice compose_stage(const Stage& stage, const PricedKinds& prices, const Trainer& trainer,
                         const ScheduleShape& shape, double overlap_slowdown) {
  StagePrice result;
  result.memory = {stage_chunks(stage, prices, trainer), stage_states(stage, prices)};
  // Interleaved: after its first micro-batch a chunk runs the others of the round before the next
  // chunk needs its weights, and before its last backward it ran those of the last round after the
  // previous chunk's gradients were complete.
  Rounds rounds{1, 1, 0, 0};
  if (shape.kind == ScheduleKind::interleaved) rounds = rounds_of(shape);
  const auto more_first = static_cast<double>(rounds.first_size - 1);
  const auto more_last =
      static_cast<double>((rounds.rest_count > 0 ? rounds.rest_size : rounds.first_size) - 1);
  const ChainRules rules{trainer.fsdp_prefetch, trainer.overlap_param_gather,
                         trainer.overlap_grad_reduce};
  std::vector<ChainRun> first_forward, last_backward;
  PhaseTime round;  // reductions of one round, all chunks
  for (const Chunk& chunk : stage.chunks) {
    const std::vector<RunPrice> runs = priced(chunk, prices);
    ChunkPrice price;
    std::vector<ChainRun> forward, backward;
    PhaseTime forward_beside, backward_beside;
    for (const RunPrice& run : runs) {
      const auto n = static_cast<double>(run.count);
      price.forward += run.pass->forward.scaled(n);
      price.backward += run.pass->backward.scaled(n);
      price.weight += run.pass->weight.scaled(n);
      result.update += run.state->update.scaled(n);
      const StatePrice& state = *run.state;
      const double gather = state.gather.wall;
      const bool each = state.gather_when == When::each_micro_batch;
      forward.push_back({run.count, run.pass->forward.wall, each ? gather : 0, 0});
      first_forward.push_back({run.count, run.pass->forward.wall, each ? 0 : gather, 0});
      const bool reduce_each = state.reduce_when == When::each_micro_batch;
      if (state.reduce_when == When::each_round) round += state.reduce.scaled(n);
      if (each) {
        forward_beside += state.gather.scaled(n);
        backward_beside += state.gather.scaled(n);
      }
      if (reduce_each) backward_beside += state.reduce.scaled(n);
      backward.push_back({run.count, run.pass->backward.wall, each ? gather : 0,
                          reduce_each ? state.reduce.wall : 0});
      last_backward.push_back(
          {run.count, run.pass->backward.wall, 0, reduce_each ? 0 : state.reduce.wall});
    }
    std::reverse(backward.begin(), backward.end());
    if (more_first > 0) first_forward.push_back({1, more_first * price.forward.wall, 0, 0});
    // The list is reversed below: these come before the chunk's reductions.
    if (more_last > 0) last_backward.push_back({1, more_last * price.backward.wall, 0, 0});
    expose(price.forward, chain_time(forward, rules),
           overlap_slowdown * occupancy_of(forward_beside));
    expose(price.backward, chain_time(backward, rules),
           overlap_slowdown * occupancy_of(backward_beside));
    result.chunks.push_back(price);
  }
  std::reverse(last_backward.begin(), last_backward.end());
  // All gathers of the step are queued at its start: their buffers are there for the whole step.
  ChainRules queued = rules;
  queued.prefetch = std::numeric_limits<int>::max();
  result.gather_s = chain_time(first_forward, queued).exposed();
  result.reduce_s = chain_time(last_backward, rules).exposed();
  if (round.wall > 0) {
    // Rounds before the last hide behind the work of the next one as far as that is long enough.
    const Rounds all = rounds_of(shape);
    double work = 0;
    for (const ChunkPrice& chunk : result.chunks) work += chunk.forward.wall + chunk.backward.wall;
    work *= static_cast<double>(all.first_size);
    const auto before = static_cast<double>(all.first_count + all.rest_count - 1);
    result.reduce_s +=
        before * (std::max(0.0, round.wall - work) +
                  overlap_slowdown * occupancy_of(round) * std::min(round.wall, work));
  }
  return result;
}

double scale_agreement_s(const CostModel& costs, const LowerContext& lower,
                         const PlanLinks& links) {
  if (!lower.trainer.scales_agreed_by_stage || !is_quantised(lower.plan.compute)) return 0;
  const Constants& constants = costs.constants();
  // One fp32 value a tensor: latency alone.
  const double seconds =
      costs.collectives().time(CollectiveOp::all_reduce, 1024, links.stage).seconds;
  return seconds * (links.stage.nodes > 1 ? constants.network_slowdown : 1) +
         constants.rank_skew_s * expected_maximum(links.stage.ranks);
}

PipelineInput pipeline_input(const CostModel& costs, const LowerContext& lower,
                             const PlanLinks& links, const std::vector<const StagePrice*>& stages) {
  const Plan& plan = lower.plan;
  PipelineInput input;
  input.shape = {plan.schedule, plan.pp, plan.vpp, lower.batch.micro_batches(plan),
                 plan.schedule_group};
  const double agreed = scale_agreement_s(costs, lower, links);
  for (const StagePrice* stage : stages) {
    for (const ChunkPrice& chunk : stage->chunks) {
      const double backward = chunk.backward.wall + agreed;
      input.times.push_back({chunk.forward.wall + agreed, backward, backward, chunk.weight.wall});
    }
  }
  if (plan.pp > 1) {
    const double bytes =
        static_cast<double>(lower.own_tokens() * lower.model.hidden * bytes_of(lower.value()));
    const GroupLinks& between = links.links[static_cast<size_t>(Group::pp)];
    const bool parts = lower.trainer.p2p_scattered && plan.tp > 1 && !lower.sp();
    input.p2p_s = costs.collectives().p2p(parts ? bytes / plan.tp : bytes, between).seconds;
    if (between.nodes > 1) input.p2p_s *= costs.constants().network_slowdown;
    if (parts)
      input.p2p_s +=
          costs.collectives()
              .time(CollectiveOp::all_gather, bytes, links.links[static_cast<size_t>(Group::tp)])
              .seconds;
    input.p2p_overlapped = lower.trainer.overlap_p2p;
    input.p2p_in_line = lower.trainer.p2p_in_line;
  }
  // First forwards wait for their weights, which all stages gather from the start of the step on,
  // so a later stage hides what fits in the time until its first micro-batch arrives.
  const auto chunks = static_cast<size_t>(input.shape.chunks);
  input.first_forward_s.assign(input.times.size(), 0);
  input.last_backward_s.assign(input.times.size(), 0);
  double arrival = 0;
  for (size_t s = 0; s < stages.size(); ++s) {
    const double wait = std::max(0.0, stages[s]->gather_s - arrival);
    input.first_forward_s[s * chunks] = wait;
    input.last_backward_s[s * chunks] = stages[s]->reduce_s;
    arrival += wait + input.times[s * chunks].forward + input.p2p_s;
  }
  return input;
}

StepEnd step_end(const CostModel& costs, const LowerContext& lower, const PlanLinks& links,
                 const std::vector<const StagePrice*>& stages, double timeline_s) {
  const Plan& plan = lower.plan;
  StepEnd end;
  for (const StagePrice* stage : stages) {
    end.optimizer = std::max(end.optimizer, stage->update.wall);
  }
  end.norm = costs.collectives()
                 .time(CollectiveOp::all_reduce, 4, links.links[static_cast<size_t>(Group::world)])
                 .seconds;
  if (lower.model.tied_embeddings && plan.pp > 1) {
    const int64_t rows = padded_vocabulary(lower.model, plan, lower.trainer) / plan.tp;
    const auto bytes = static_cast<double>(rows * lower.model.hidden * bytes_of(plan.gradient));
    GroupLinks pair = links.links[static_cast<size_t>(Group::tied)];
    pair.ranks = 2;
    end.tied = costs.collectives().time(CollectiveOp::all_reduce, bytes, pair).seconds;
  }
  end.overhead = costs.constants().step_overhead_s +
                 lower.trainer.sync_points_per_step * costs.host(lower.trainer).sync_s;
  end.stragglers = (timeline_s + end.optimizer + end.norm + end.tied) *
                   (costs.collectives().straggler_factor(plan.world()) - 1);
  return end;
}

}  // namespace meshplan
