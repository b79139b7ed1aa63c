// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/validate/parity.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "strategies/program/live_range.hpp"
#include "validate/execute/expected_ledger.hpp"
#include "validate/execute/expected_memory.hpp"

namespace meshplan::test {
namespace {

const Batch kBatch{kSequence, kSequences};

double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double delta = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += delta * delta;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / std::max(norm, 1e-300));
}

void compare_ledgers(const Program& program, const RunReport& report, int64_t steps,
                     Comparison& out) {
  for (const RankReport& rank : report.ranks) {
    Ledger counted = rank.ledger, expected = expected_ledger(program, rank.place, steps);
    for (auto& [key, entry] : counted) entry.moved_bytes = 0;
    if (counted == expected) continue;
    out.ledger = false;
    for (const Ledger* ledger : {&counted, &expected}) {
      out.note += ledger == &counted ? "counted" : " expected";
      for (const auto& [key, entry] : *ledger) {
        out.note +=
            fmt::format(" {} {} {}x {}", key.first, name_of(key.second), entry.calls, entry.bytes);
      }
    }
    return;
  }
}

void compare_memory(const Program& program, const RunReport& report, Comparison& out) {
  for (const RankReport& rank : report.ranks) {
    int64_t resident = 0;
    const Stage& stage = program.stages[static_cast<size_t>(rank.place.stage)];
    for (const Chunk& chunk : stage.chunks) {
      for (const BlockRun& block_run : chunk.runs) {
        const Block& block = program.blocks[static_cast<size_t>(block_run.block)];
        const BlockMemory memory = memory_of(block);
        const BlockPeaks& seen = rank.blocks[static_cast<size_t>(block_run.block)];
        resident += memory.resident() * block_run.count;
        const bool equal = seen.forward == memory.forward_peak && seen.saved == memory.saved &&
                           seen.backward == memory.backward_peak && seen.held == memory.held &&
                           seen.weight == memory.weight_peak;
        if (equal) continue;
        out.memory = false;
        out.note += fmt::format(
            "block {}: forward {} of {}, saved {} of {}, backward {} of {}, held {} of {}, weight "
            "{} of {}; ",
            block.name, seen.forward, memory.forward_peak, seen.saved, memory.saved, seen.backward,
            memory.backward_peak, seen.held, memory.held, seen.weight, memory.weight_peak);
      }
    }
    const ExpectedMemory expected = expected_memory(program, rank.place).value();
    if (rank.peak_bytes != expected.peak) {
      out.memory = false;
      out.note += fmt::format("peak {} of {}; ", rank.peak_bytes, expected.peak);
    }
    if (rank.meters.states.alive == resident && resident == expected.states) continue;
    out.memory = false;
    out.note += fmt::format("states {} of {}; ", rank.meters.states.alive, resident);
  }
}

}  // namespace

Model small_llama() {
  Model model;
  model.layers = 4;
  model.hidden = 32;
  model.heads = 8;
  model.kv_heads = 4;
  model.head_dim = 4;
  model.intermediate = 48;
  model.vocabulary = 100;
  return model;
}

Model small_moe() {
  Model model = small_llama();
  model.moe = Moe{.experts = 4, .top_k = 2, .expert_intermediate = 16};
  return model;
}

Trainer fp32_trainer() {
  Trainer trainer;
  trainer.id = trainer.name = "meshplan";
  return trainer;
}

Plan fp32_plan() {
  Plan plan;
  plan.compute = DType::fp32;
  return plan;
}

Result<RunReport> run(const Model& model, const Plan& plan, const Trainer& trainer,
                      const RunOptions& options) {
  MESHPLAN_TRY(const Program program, lower(model, plan, kBatch, trainer));
  const RandomTokens tokens(model.vocabulary, 5);
  return run_on_threads(program, {.options = options, .world = {.timeout_s = 20}, .collect = true},
                        tokens);
}

Result<Comparison> compare(const Model& model, const Plan& plan, const Trainer& trainer,
                           const RunOptions& options) {
  static std::map<std::string, RunReport> kept;
  const std::string key = fmt::format("{} {} {} {} {} {}", model.moe ? expert_hidden(model) : 0,
                                      model.tied_embeddings, model.qk_norm, options.steps,
                                      options.initial.deviation, learning_rate(options, 0));
  if (!kept.contains(key)) {
    RunOptions healthy = options;
    healthy.fault = Fault::none;
    MESHPLAN_TRY(kept[key], run(model, fp32_plan(), fp32_trainer(), healthy));
  }
  const RunReport& one = kept[key];
  MESHPLAN_TRY(const RunReport many, run(model, plan, trainer, options));
  MESHPLAN_TRY(const Program program, lower(model, plan, kBatch, trainer));

  Comparison out;
  const auto relative = [](double a, double b) { return std::abs(a - b) / std::abs(b); };
  out.loss = relative(many.steps[0].loss, one.steps[0].loss);
  out.norm = relative(many.steps[0].gradient_norm, one.steps[0].gradient_norm);
  for (size_t i = 1; i < one.steps.size(); ++i) {
    out.later_losses = std::max(out.later_losses, relative(many.steps[i].loss, one.steps[i].loss));
  }
  for (const auto& [name, gradient] : one.gradients) {
    const auto found = many.gradients.find(name);
    const bool same = found != many.gradients.end() && found->second.size() == gradient.size();
    const double error = same ? relative_l2(found->second, gradient) : 1e9;
    if (error <= out.gradients) continue;
    out.gradients = error;
    out.worst = name;
  }
  compare_ledgers(program, many, options.steps, out);
  compare_memory(program, many, out);
  return out;
}

}  // namespace meshplan::test
