// SPDX-License-Identifier: Apache-2.0
// Does a plan hold when it runs here? Trains for some steps and compares calls, bytes, memory and
// time with the prediction for exactly what was run.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"
#include "profiler/comm/gpu_world.hpp"
#include "validate/checkpoint/checkpoint.hpp"
#include "validate/execute/cuda_device.hpp"
#include "validate/run/file_tokens.hpp"

namespace meshplan {

/// How the ranks of a run use GPUs.
struct GpuRun {
  enum class Share : uint8_t { automatic, one_gpu, one_each } share = Share::automatic;
  bool processes = false;  ///< a rank is a process, not a thread: one GPU each
  CudaDeviceOptions device;
};

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
  /// What products are done in, whatever the plan says: fp32, bf16 or fp8.
  DType compute = DType::fp32;
  std::optional<GpuRun> gpu;  ///< empty: on the CPU
};

/// The question as it can be executed: fp32, bf16 or fp8 in place of other types, tiled attention
/// in place of a materialised one, no dropout. `replaced` says what was changed.
struct Executable {
  RunQuestion question;
  Program program;
  std::vector<std::string> replaced;
};
enum class RanksHere : uint8_t { all, one };  ///< run on this computer
/// Errors (no_plan): the executor does not know something of this plan (all reasons are notes), or
/// all its ranks need more memory than this computer has; (missing): no GPU.
Result<Executable> make_executable(const RunQuestion& question, RanksHere ranks = RanksHere::all);

/// What a rank computes on and talks through; empty on the CPU, where it is the world it was given.
struct RankSeat {
  std::unique_ptr<GpuWorld> gpus;
  std::unique_ptr<Device> device;  ///< uses a stream of `gpus`
};
Result<RankSeat> seat_of(World& world, const std::optional<GpuRun>& gpu);

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
  std::string device;                ///< of the first reporting rank
  int64_t ranks = 1;
  int64_t reporting = 1;  ///< of them, the ranks that the figures below are of
  std::vector<StepResult> steps;
  std::vector<LedgerLine> ledger;
  int64_t peak_bytes = 0, expected_peak_bytes = 0;  ///< of the fullest rank
  int64_t arena_bytes = 0;                          ///< of the rank with the largest
  int64_t device_bytes = 0;                         ///< in use on the fullest device; 0: not told
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
