// SPDX-License-Identifier: Apache-2.0
// How is a run kept, and resumed under the same plan or another?
//
// A checkpoint is a folder step-00000010 with one safetensors file per rank that holds something of
// its own (weights and moments of its shards, as they lie in memory, with a description of their
// parts) and checkpoint.json, written last. It is built as step-00000010.tmp and renamed when all
// ranks are done, so that a folder without .tmp is complete. Reading goes by tensor and element:
// the plan that resumes may be any.
#pragma once
#include <string>
#include <vector>

#include "validate/checkpoint/safetensors.hpp"
#include "validate/execute/rank_run.hpp"

namespace meshplan {

/// Label of the group that saving synchronises by; in the ledger, in no plan.
inline constexpr const char* kCheckpointLabel = "checkpoint";

/// Saves the state after the last step. Collective over the world. The error of a rank (a full
/// disk) is that rank's; the folder of earlier checkpoints stays as it is.
Status save_checkpoint(World& world, RankRun& run, const std::string& folder);

enum class Kept : uint8_t { weight, moment1, moment2 };

class Checkpoint : public WeightSource {
 public:
  /// One checkpoint folder. Error (input): not complete, a file missing, truncated or altered in
  /// length.
  static Result<Checkpoint> open(const std::string& path);

  int64_t next_step() const { return next_step_; }
  /// Weights, for RankRun::make.
  Status fill(const TensorPart& part, const FlatRange& range, float* data) const override;
  /// Moments and step number, after RankRun::make with this as its weights.
  Status restore(RankRun& run) const;

 private:
  struct Saved {
    size_t file;
    std::string entry;  ///< name in the file without ".weight"
    TensorPart part;
    FlatRange range;
  };
  Status fill(Kept what, const TensorPart& part, const FlatRange& range, float* data) const;
  Result<int64_t> copy_row(Kept what, const std::string& tensor, int64_t row, int64_t first_col,
                           int64_t cols, float* data) const;

  std::string path_;
  int64_t next_step_ = 0;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::vector<Saved>> saved_;  ///< by tensor
};

/// The latest complete checkpoint in a folder; skipped: later ones that are not complete, with the
/// reason. Error (input): there is none.
struct LatestCheckpoint {
  std::string path;
  std::vector<std::string> skipped;
};
Result<LatestCheckpoint> latest_checkpoint(const std::string& folder);

}  // namespace meshplan
