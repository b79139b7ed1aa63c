// SPDX-License-Identifier: Apache-2.0
// What does each block of a plan cost on this cluster? Priced once and kept: a plan is composed of
// priced blocks (compose.hpp).
//
// Passes depend on tp, cp, ep, micro-batch, recompute; states on how parameters are sharded. The
// two are priced apart so that a search over both prices few of either.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "costmodel/profile/constants.hpp"
#include "costmodel/step/bands.hpp"
#include "costmodel/step/constants.hpp"
#include "costmodel/step/phase_time.hpp"
#include "strategies/program/live_range.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan {

/// Forward, backward and weight-gradient passes of one block for one micro-batch.
struct PassPrice {
  PhaseTime forward, backward, weight;
  BlockMemory memory;  ///< its activation half
  Block bare;          ///< parameters not laid out, no operations
};

/// Parameters, gradients and optimizer states of one block.
struct StatePrice {
  PhaseTime gather, reduce, update;
  BlockMemory memory;  ///< its state half
  When gather_when = When::never;
  When reduce_when = When::never;
  bool freed = false;
};

/// Links of every group under a plan's rank order.
struct PlanLinks {
  std::array<GroupLinks, kGroups> links;
  std::array<GroupDims, kGroups> dims;
  GroupLinks stage;  ///< of all ranks that hold one pipeline stage: tp, cp and dp
};

/// Everything measured that belongs to one kind of GPU.
struct Calibration {
  KernelTables kernels;
  CollectiveModel collectives;
  std::array<HostCosts, 5> hosts;  ///< by HostClass
  std::shared_ptr<const EstimateBands> bands;
};

/// Reads each GPU's tables once. Not thread-safe.
class CalibrationCache {
 public:
  Result<std::shared_ptr<const Calibration>> get(const Gpu& gpu);

 private:
  std::map<std::string, std::shared_ptr<const Calibration>> by_gpu_;
  std::shared_ptr<const EstimateBands> bands_;
};

class CostModel {
 public:
  static Result<std::shared_ptr<const CostModel>> load(const Cluster& cluster,
                                                       const Constants& constants);
  CostModel(Cluster cluster, Constants constants, std::shared_ptr<const Calibration> calibration)
      : cluster_(std::move(cluster)),
        constants_(std::move(constants)),
        calibration_(std::move(calibration)) {
    if (!kernels().other_libraries()) return;
    constants_.kernel_slowdown *= constants_.other_libraries;
  }

  const Cluster& cluster() const { return cluster_; }
  const Constants& constants() const { return constants_; }  ///< as they hold for this cluster
  const EstimateBands& bands() const { return *calibration_->bands; }
  const KernelTables& kernels() const { return calibration_->kernels; }
  const CollectiveModel& collectives() const { return calibration_->collectives; }

  /// Error (no_plan): expert degrees do not fit the world; (usage): unknown rank order.
  Result<PlanLinks> links(const Plan& plan, const Trainer& trainer) const;
  const HostCosts& host(const Trainer& trainer) const {
    return calibration_->hosts[static_cast<size_t>(trainer.host)];
  }
  PriceContext context(const Plan& plan, const Trainer& trainer, const PlanLinks& links) const;
  StreamRules rules(const Trainer& trainer) const;

  PassPrice price_passes(const LowerContext& lower, const BlockKind& kind,
                         const PriceContext& context) const;
  /// laid_out: a PassPrice::bare after lay_out_states.
  StatePrice price_states(const LowerContext& lower, const Block& laid_out,
                          const PriceContext& context) const;

 private:
  Cluster cluster_;
  Constants constants_;
  std::shared_ptr<const Calibration> calibration_;
};

}  // namespace meshplan
