// SPDX-License-Identifier: Apache-2.0
#include "validate/run/run_plan.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "profiler/comm/thread_world.hpp"
#include "profiler/cuda/gpu.hpp"
#include "strategies/program/lower.hpp"
#include "topologies/base/files.hpp"
#include "validate/checkpoint/hf_weights.hpp"
#include "validate/execute/eight_bit.hpp"
#include "validate/execute/expected_ledger.hpp"
#include "validate/execute/expected_memory.hpp"
#include "validate/timing/cpu_step.hpp"

namespace meshplan {
namespace {

constexpr int64_t kMostRanks = 64;  // threads of one process

std::vector<std::string> make_runnable(RunQuestion& question) {
  std::vector<std::string> replaced;
  const auto replace = [&](auto& field, auto value, const std::string& what) {
    if (field == value) return;
    field = value;
    replaced.push_back(what);
  };
  Plan& plan = question.plan;
  Trainer& trainer = question.trainer;
  const DType compute = question.compute;
  replace(plan.compute, compute,
          fmt::format("{} products: run in {}", name_of(plan.compute), name_of(compute)));
  replace(trainer.optimizer_moment, DType::fp32, "optimizer moments: kept in fp32");
  if (compute == DType::fp32) {
    replace(plan.gradient, DType::fp32,
            fmt::format("{} gradients: kept in fp32", name_of(plan.gradient)));
    replace(trainer.reduce, DType::fp32, "gradient reductions: run in fp32");
  } else if (plan.zero < 3) {
    replace(trainer.master_weights, true, "no fp32 master weights: kept beside the weights");
  }
  replace(trainer.dropout, false, "dropout: left out");
  replace(trainer.optimizer_in_backward, false, "optimizer inside the backward pass: after it");
  replace(trainer.optimizer_paged, false, "paged optimizer states: kept with the rest");
  replace(plan.optimizer_offload, false, "optimizer states on the host: kept with the rest");
  if (question.model.moe) {
    replace(trainer.ep_sends_once, false, "tokens sent once to each rank: sent to each expert");
    replace(trainer.moe_gates_in_activation, false,
            "gates inside the experts' activation: applied to their output");
    replace(trainer.expert_load_ratio, 1, "uneven routing: room for an equal share of the tokens");
  }
  if (plan.zero == 2) {
    replace(trainer.zero_all_reduces, 0, "gradients summed whole on all ranks: scattered");
  }
  if (plan.cp == 1) {
    replace(trainer.attention, AttentionKernel::flash, "materialised attention: run in tiles");
  }
  return replaced;
}

/// For dropless routing: room for all tokens at every expert.
double expert_capacity(const RunQuestion& question) {
  if (!question.dropless || !question.model.moe) return 1;
  const Moe& moe = *question.model.moe;
  return static_cast<double>(moe.experts) / static_cast<double>(moe.top_k);
}

Status check_size(const Program& program) {
  const int64_t ranks = program.plan.world();
  if (ranks > kMostRanks) {
    return Diagnostic{
        .kind = ErrorKind::no_plan,
        .message =
            fmt::format("{} ranks are too many to run here; at most {} threads", ranks, kMostRanks),
        .rule = "executor.ranks",
        .hint = "run a smaller plan of the same shape, or meshplan-rank under mpirun"};
  }
  int64_t needed = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    MESHPLAN_TRY(const RankPlace place,
                 place_of_rank(program.plan, program.trainer.rank_order, rank));
    MESHPLAN_TRY(const ExpectedMemory memory, expected_memory(program, place));
    needed += memory.peak;
  }
  const int64_t present = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  if (needed <= present) return Done{};
  return Diagnostic{.kind = ErrorKind::no_plan,
                    .message = fmt::format("all ranks together need {:.1f} GiB, this computer has "
                                           "{:.1f} GiB",
                                           static_cast<double>(needed) / (1LL << 30),
                                           static_cast<double>(present) / (1LL << 30)),
                    .rule = "executor.memory",
                    .hint = "a smaller model, fewer layers or a shorter sequence"};
}

Result<std::unique_ptr<TokenSource>> tokens_of(const RunQuestion& question) {
  const int64_t vocabulary = question.model.vocabulary;
  if (question.token_file.empty()) {
    return std::unique_ptr<TokenSource>(
        std::make_unique<RandomTokens>(vocabulary, question.options.initial.seed));
  }
  MESHPLAN_TRY(FileTokens tokens, FileTokens::open(question.token_file, question.token_format,
                                                   question.batch, vocabulary));
  return std::unique_ptr<TokenSource>(std::make_unique<FileTokens>(std::move(tokens)));
}

void add(std::vector<LedgerLine>& lines, const Ledger& ledger, LedgerEntry LedgerLine::*side) {
  for (const auto& [name, entry] : ledger) {
    const auto& key = name;  // clang 14 lets no lambda keep a structured binding
    if (key.first == kCheckpointLabel) continue;
    auto found = std::find_if(lines.begin(), lines.end(), [&](const LedgerLine& line) {
      return line.group == key.first && line.transfer == key.second;
    });
    if (found == lines.end()) {
      lines.push_back({key.first, key.second, {}, {}});
      found = std::prev(lines.end());
    }
    LedgerEntry& sum = (*found).*side;
    sum.calls += entry.calls;
    sum.bytes += entry.bytes;
    sum.moved_bytes += entry.moved_bytes;
  }
}

}  // namespace

bool RunAnswer::ledger_equal() const {
  return std::all_of(ledger.begin(), ledger.end(),
                     [](const LedgerLine& line) { return line.equal(); });
}

std::vector<std::string> priced_only(const Model& model, const Plan& plan, const Batch& batch,
                                     const Trainer& trainer) {
  RunQuestion question{.model = model, .plan = plan, .batch = batch, .trainer = trainer};
  make_runnable(question);
  const Result<Program> program =
      lower(question.model, question.plan, question.batch, question.trainer);
  if (!program.ok()) return {program.error().message};
  return not_executable(*program, question.options);
}

Result<Executable> make_executable(const RunQuestion& question, RanksHere ranks) {
  int capability = 0;
  if (question.gpu) {
    MESHPLAN_TRY(const std::vector<cuda::GpuFacts> present, cuda::gpus());
    capability = present.front().compute_capability;
  }
  Executable out{question, {}, {}};
  out.replaced = make_runnable(out.question);
  MESHPLAN_TRY(out.program, lower(out.question.model, out.question.plan, out.question.batch,
                                  out.question.trainer, expert_capacity(question)));
  std::vector<std::string> reasons = not_executable(out.program, out.question.options);
  if (question.gpu && out.program.plan.compute == DType::fp8 && !no_fp8(capability).empty()) {
    reasons.push_back(no_fp8(capability));
  }
  if (!reasons.empty()) {
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "this plan is priced only: the executor does not run " +
                                 fmt::format("{}", fmt::join(reasons, "; ")),
                      .rule = "executor.priced-only"};
  }
  if (!question.gpu && ranks == RanksHere::all) {
    MESHPLAN_CHECK(check_size(out.program));
  }
  return out;
}

Result<RunAnswer> answer_of(const Executable& executable, std::vector<StepResult> steps,
                            const std::vector<RankReport>& reports) {
  const Program& program = executable.program;
  RunAnswer answer;
  answer.replaced = executable.replaced;
  answer.plan = to_text(program.plan);
  answer.ranks = program.plan.world();
  answer.reporting = static_cast<int64_t>(reports.size());
  if (!reports.empty()) answer.device = reports.front().device;
  for (const RankReport& rank : reports) {
    add(answer.ledger, rank.ledger, &LedgerLine::counted);
    add(answer.ledger, expected_ledger(program, rank.place, static_cast<int64_t>(steps.size())),
        &LedgerLine::expected);
    MESHPLAN_TRY(const ExpectedMemory memory, expected_memory(program, rank.place));
    answer.routed.add(rank.routed);
    answer.memory_equal = answer.memory_equal && memory.peak == rank.peak_bytes;
    answer.peak_bytes = std::max(answer.peak_bytes, rank.peak_bytes);
    answer.arena_bytes = std::max(answer.arena_bytes, rank.arena_bytes);
    answer.device_bytes = std::max(answer.device_bytes, rank.device_bytes);
    answer.expected_peak_bytes = std::max(answer.expected_peak_bytes, memory.peak);
  }
  std::vector<double> seconds;
  for (size_t i = steps.size() > 1 ? 1 : 0; i < steps.size(); ++i) {
    seconds.push_back(steps[i].seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  if (!seconds.empty()) answer.measured_step_s = seconds[seconds.size() / 2];
  answer.steps = std::move(steps);
  if (executable.question.profile) {
    MESHPLAN_TRY(const CpuStepTime time, predict_cpu_step(program, *executable.question.profile));
    answer.predicted_step_s = time.seconds;
  }
  return answer;
}

Result<RunInputs> open_inputs(const RunQuestion& question) {
  RunInputs out;
  MESHPLAN_TRY(out.tokens, tokens_of(question));
  if (question.resume) {
    MESHPLAN_TRY(LatestCheckpoint latest, latest_checkpoint(question.checkpoints));
    MESHPLAN_TRY(Checkpoint checkpoint, Checkpoint::open(latest.path));
    auto kept = std::make_unique<Checkpoint>(std::move(checkpoint));
    out.checkpoint = kept.get();
    out.weights = std::move(kept);
    out.skipped = std::move(latest.skipped);
  } else if (!question.hf_folder.empty()) {
    MESHPLAN_TRY(HfWeights weights, HfWeights::open(question.hf_folder));
    out.weights = std::make_unique<HfWeights>(std::move(weights));
  }
  return out;
}

Result<RankSeat> seat_of(World& world, const std::optional<GpuRun>& gpu) {
  RankSeat seat;
  if (!gpu) return seat;
  MESHPLAN_TRY(const std::vector<cuda::GpuFacts> present, cuda::gpus());
  const bool enough = static_cast<int>(present.size()) >= world.size();
  const bool each = gpu->processes || gpu->share == GpuRun::Share::one_each ||
                    (gpu->share == GpuRun::Share::automatic && enough && world.size() > 1);
  const int local = gpu->processes ? std::max(launched_rank().local_rank, 0) : world.rank();
  const GpuWorldOptions options{each ? GpuTransport::nccl : GpuTransport::shared, each ? local : 0};
  MESHPLAN_TRY(seat.gpus, GpuWorld::make(world, options));
  MESHPLAN_TRY(seat.device, make_cuda_device(seat.gpus->compute_stream(), gpu->device));
  return seat;
}

Result<std::vector<StepResult>> train_rank(World& world, const Executable& executable,
                                           const RunInputs& inputs, RankReport* report) {
  const RunQuestion& question = executable.question;
  MESHPLAN_TRY(RankSeat seat, seat_of(world, question.gpu));
  World& used = seat.gpus != nullptr ? *seat.gpus : world;
  MESHPLAN_TRY(const std::unique_ptr<RankRun> run,
               RankRun::make(used, executable.program, question.options, *inputs.tokens,
                             inputs.weights.get(), std::move(seat.device)));
  if (inputs.checkpoint != nullptr) MESHPLAN_CHECK(inputs.checkpoint->restore(*run));
  std::vector<StepResult> steps;
  for (int64_t i = 0; i < question.options.steps; ++i) {
    MESHPLAN_TRY(const StepResult result, run->step());
    steps.push_back(result);
    if (question.checkpoints.empty()) continue;
    const bool due = question.save_every > 0 && run->next_step() % question.save_every == 0;
    if (due || i + 1 == question.options.steps) {
      MESHPLAN_CHECK(save_checkpoint(world, *run, question.checkpoints));
    }
  }
  *report = run->report(used);
  if (!question.export_folder.empty() && world.rank() == 0) {
    MESHPLAN_TRY(const LatestCheckpoint latest, latest_checkpoint(question.checkpoints));
    MESHPLAN_TRY(const Checkpoint checkpoint, Checkpoint::open(latest.path));
    MESHPLAN_CHECK(write_hf_folder(question.model, checkpoint, question.export_folder));
  }
  return steps;
}

Result<RunAnswer> run_plan(const RunQuestion& question) {
  MESHPLAN_TRY(const Executable executable, make_executable(question));
  MESHPLAN_TRY(const RunInputs inputs, open_inputs(executable.question));
  const auto ranks = static_cast<int>(executable.program.plan.world());
  std::vector<RankReport> reports(static_cast<size_t>(ranks));
  std::vector<StepResult> steps;
  const auto rank_main = [&](World& world) -> Status {
    RankReport& report = reports[static_cast<size_t>(world.rank())];
    MESHPLAN_TRY(std::vector<StepResult> mine, train_rank(world, executable, inputs, &report));
    if (world.rank() == 0) steps = std::move(mine);
    return Done{};
  };
  MESHPLAN_CHECK(run_ranks(ranks, question.world, rank_main));
  MESHPLAN_TRY(RunAnswer answer, answer_of(executable, std::move(steps), reports));
  answer.skipped = inputs.skipped;
  return answer;
}

}  // namespace meshplan
