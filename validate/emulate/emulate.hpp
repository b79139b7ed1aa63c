// SPDX-License-Identifier: Apache-2.0
// What does one rank of a large plan do, run alone on one device? Its real shapes, buffers and
// schedule; what other ranks would send is made up here, and collectives are replaced by stand-ins
// that take the predicted time.
//
// Measured: the rank's operations, and its memory. Modelled: communication, one call after the
// other (the executor hides none of it). Left out: waiting for other stages and for slower ranks.
#pragma once
#include "costmodel/step/cost_model.hpp"
#include "validate/run/run_plan.hpp"

namespace meshplan {

/// "stage=3,tp=0": coordinates of a rank; those left out are 0.
struct RankChoice {
  int stage = 0, tp = 0, cp = 0, ep = 0, data = 0;
};
/// Error (usage): another name, or no number.
Result<RankChoice> rank_choice_from(const std::string& text);

struct EmulateQuestion {
  RunQuestion run;  ///< hf_folder, checkpoints and files are not used
  Cluster cluster;  ///< that the plan is for
  RankChoice rank;
};

/// Stand-ins for the calls of one kind over one group.
struct ModelledCalls {
  std::string group;
  Transfer transfer = Transfer::barrier;
  int64_t calls = 0;
  int64_t bytes = 0;   ///< as the ledger counts them
  double seconds = 0;  ///< predicted, of one step
};

/// What is expected of the rank, nothing run.
struct RankPrediction {
  std::string plan;
  int rank = 0;
  RankPlace place;
  double compute_s = 0;      ///< sum over the operations of a step
  std::string compute_from;  ///< a profile or the cluster's tables
  int64_t peak_bytes = 0;    ///< of the buffers
};

struct EmulateAnswer {
  RunAnswer run;  ///< of the steps without stand-ins: losses mean nothing
  RankPrediction predicted;
  double measured_compute_s = 0;         ///< median step while communication takes no time
  double measured_with_stand_ins_s = 0;  ///< median step; 0: the device has no stand-ins (CPU)
  double modelled_communication_s = 0;
  std::vector<ModelledCalls> calls;
};

/// Errors: of make_executable, no rank of these coordinates (usage), of the device.
Result<EmulateAnswer> emulate_rank(const EmulateQuestion& question);
/// Errors as of emulate_rank, but for the device's.
Result<RankPrediction> predict_rank(const EmulateQuestion& question);

std::string to_text(const RankPrediction& prediction);
std::string to_json(const RankPrediction& prediction);  ///< schema meshplan.rank-prediction/1
std::string to_text(const EmulateAnswer& answer);
std::string to_json(const EmulateAnswer& answer);  ///< schema meshplan.emulate/1

}  // namespace meshplan
