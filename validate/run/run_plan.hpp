// SPDX-License-Identifier: Apache-2.0
// Does a plan hold when it runs here? Trains for some steps and compares calls, bytes, memory and
// time with the prediction for exactly what was run.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"
#include "validate/checkpoint/checkpoint.hpp"
#include "validate/run/file_tokens.hpp"

namespace meshplan {

struct RunQuestion {
  Model model;
  Plan plan;
  Batch batch;
  Trainer trainer;
  RunOptions options;
  WorldOptions world;
  std::optional<CpuProfile> profile;  ///< to predict the time
  std::string hf_folder;              ///< weights; empty: random
  std::string token_file;             ///< empty: random tokens
  TokenFormat token_format = TokenFormat::byte;
  std::string checkpoints;    ///< folder; saved at the end; empty: nothing is kept
  int64_t save_every = 0;     ///< steps; 0: only at the end
  std::string export_folder;  ///< gets the weights after the last step as HF keeps them
  bool resume = false;        ///< from the latest complete checkpoint in it
  bool dropless = false;      ///< experts take all tokens that choose them
};

/// The question as the CPU can execute it: fp32 in place of other types, tiled attention in place
/// of a materialised one, no dropout. `replaced` says what was changed.
struct Executable {
  RunQuestion question;
  Program program;
  std::vector<std::string> replaced;
};
/// Errors (no_plan): the executor does not know something of this plan (all reasons are notes), or
/// the plan needs more memory than this computer has.
Result<Executable> make_executable(const RunQuestion& question);

struct LedgerLine {
  std::string group;
  Transfer transfer;
  LedgerEntry counted, expected;  ///< of the reporting ranks together
  bool equal() const { return counted.calls == expected.calls && counted.bytes == expected.bytes; }
};

struct RunAnswer {
  std::vector<std::string> replaced;
  std::vector<std::string> skipped;  ///< checkpoints that are not complete
  std::string plan;                  ///< as executed
  int64_t ranks = 1;
  int64_t reporting = 1;  ///< of them, the ranks that the figures below are of
  std::vector<StepResult> steps;
  std::vector<LedgerLine> ledger;
  int64_t peak_bytes = 0, expected_peak_bytes = 0;  ///< of the fullest rank
  bool memory_equal = true;                         ///< of every rank
  Routed routed;                                    ///< of all ranks; pairs 0: no experts
  double measured_step_s = 0;                       ///< median without the first step
  std::optional<double> predicted_step_s;

  bool ledger_equal() const;
};

/// What of a plan the executor does not know and does not replace either; empty: `validate run`
/// executes it, given the memory. Such a plan is marked "priced only" in every answer.
std::vector<std::string> priced_only(const Model& model, const Plan& plan, const Batch& batch,
                                     const Trainer& trainer);

/// What all ranks of a run share: opened once, read by every rank.
struct RunInputs {
  std::unique_ptr<TokenSource> tokens;
  std::unique_ptr<WeightSource> weights;   ///< null: random
  const Checkpoint* checkpoint = nullptr;  ///< `weights`, where the run is resumed
  std::vector<std::string> skipped;        ///< checkpoints that are not complete
};
Result<RunInputs> open_inputs(const RunQuestion& question);

/// One rank's part of a run, on any back end: all steps, then the checkpoint.
Result<std::vector<StepResult>> train_rank(World& world, const Executable& executable,
                                           const RunInputs& inputs, RankReport* report);

/// Runs on threads. Errors: those of make_executable, of files, of a rank that failed.
Result<RunAnswer> run_plan(const RunQuestion& question);

/// From what these ranks counted.
Result<RunAnswer> answer_of(const Executable& executable, std::vector<StepResult> steps,
                            const std::vector<RankReport>& reports);

std::string to_text(const RunAnswer& answer);
std::string to_json(const RunAnswer& answer);  ///< schema meshplan.run/1

}  // namespace meshplan
