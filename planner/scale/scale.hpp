// SPDX-License-Identifier: Apache-2.0
// What does the next GPU buy? The best plan at each number of GPUs, beside fixed ways to train,
// with power, money, failures, and what the last doubling has added.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/energy/energy.hpp"
#include "costmodel/goodput/goodput.hpp"
#include "planner/search/search.hpp"

namespace meshplan {

enum class Scaling { strong, weak };  ///< the batch stays, or grows with the GPUs

/// A way to train that is held fixed while the best plan changes.
struct Baseline {
  std::string name;  ///< "fsdp", "fsdp+tp4", ...
  int tp = 1;
  bool pipeline = false;  ///< two or more stages
};
/// Pure FSDP; with tp 2, 4, 8; with pipeline stages.
const std::vector<Baseline>& baselines();
/// The question with the baseline as its only choice: ZeRO 3 over all data-parallel ranks.
SearchQuestion constrained(SearchQuestion question, const Baseline& baseline);

struct ScaleInputs {
  PowerShares power;
  Prices prices;
  Reliability reliability;
  double tokens = 0;                 ///< of the whole training; 0: by Prices::tokens_per_parameter
  double knee_share = 0.5;           ///< see ScaleCurve::knee
  double critical_batch_tokens = 0;  ///< 0: not known
  bool with_baselines = true;
};
/// All from costmodel/data. Error (input): a file is missing or not as described.
Result<ScaleInputs> load_scale_inputs();

/// Seconds of one axis' communication in a step of the busiest stage.
struct AxisTime {
  std::string axis;
  double exposed_s = 0;  ///< the GPU waits
  double hidden_s = 0;   ///< behind kernels
};

struct ScaledPlan {
  StepEstimate step;
  std::vector<AxisTime> communication;
  StepPower power;
  Goodput goodput;
  double tokens_per_s = 0, tokens_per_s_low = 0, tokens_per_s_high = 0;  ///< of all GPUs
  double usd_per_hour = 0, tokens_per_usd = 0;
  double train_ideal_s = 0;  ///< without failures
  double train_s = 0, train_low_s = 0, train_high_s = 0;
  double train_usd = 0, train_kwh = 0;  ///< failures included
  std::vector<Plan> finalists;
};

/// Of the GPUs that the last point did not have.
struct Marginal {
  double share = 0;  ///< tokens/s that a new GPU adds over the most that a GPU of an earlier point
                     ///< does on average
  double tokens_per_s_per_gpu = 0, tokens_per_joule = 0, tokens_per_usd = 0;
};

struct ScalePoint {
  int64_t gpus = 0;
  Batch batch;
  std::optional<ScaledPlan> best;
  std::string why_none;  ///< without a plan
  int ties = 0;          ///< other plans that are as good
  std::optional<Marginal> marginal;
  bool above_critical_batch = false;
  std::vector<std::optional<ScaledPlan>> baselines;  ///< in their order; empty: not asked for
  bool ties_with(size_t baseline) const;
};

struct ScaleQuestion {
  SearchQuestion search;      ///< its cluster is made larger and smaller, its seeds are not read
  std::vector<int64_t> gpus;  ///< ascending
  Scaling scaling = Scaling::strong;  ///< weak: search.batch belongs to the first number of GPUs
  std::string label;
};

struct ScaleCurve {
  ScaleQuestion question;
  double tokens = 0;
  std::vector<ScalePoint> points;
  /// First point whose new GPUs are worth less than ScaleInputs::knee_share.
  std::optional<size_t> knee;
  /// From this point on pure FSDP is beaten by more than a tie, or has no plan.
  std::optional<size_t> fsdp_ends;
  /// First point with more GPUs than sequences in the batch: data parallelism alone ends before.
  std::optional<size_t> sequences_end;
};

/// Errors: those of the search. A point without a plan, or a number of GPUs that the cluster cannot
/// have, is no error.
Result<ScaleCurve> scale(const ScaleQuestion& question, const ScaleInputs& inputs,
                         SearchMemory& memory);

/// One point of it; seeds: see SearchQuestion.
Result<ScalePoint> scale_point(SearchQuestion question, int64_t gpus, const ScaleInputs& inputs,
                               const std::vector<std::vector<Plan>>& seeds, SearchMemory& memory);

/// Marginals, knee and ends of a curve whose points are there.
void derive(ScaleCurve& curve, const ScaleInputs& inputs);

/// Exposed and hidden seconds by axis; axes that do not communicate are left out.
Result<std::vector<AxisTime>> communication_of(const CostModel& costs, const Model& model,
                                               const Trainer& trainer, const StepEstimate& step);

struct ScaleReport {
  std::string command;  ///< as it was typed
  ScaleInputs inputs;
  std::vector<ScaleCurve> curves;
  std::vector<std::string> defaults;  ///< what was not stated
  double seconds = 0;
  int threads = 1;
};

}  // namespace meshplan
