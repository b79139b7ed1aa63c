// SPDX-License-Identifier: Apache-2.0
// A collective of the step program, carried out by a communicator of any back end.
#pragma once
#include "profiler/comm/communicator.hpp"
#include "validate/execute/device.hpp"

namespace meshplan {

/// The type of a communicator's elements; byte for what is not summed.
Element element_of(DType type);

/// Operands of a collective. One that is smaller than its buffer takes the first elements for a
/// maximum and the last ones for a sum.
struct CollectiveSite {
  Communicator* group;
  Tensor from, to;
  int64_t from_count, to_count;
};
/// Error (internal): a group of one rank.
Result<CollectiveSite> operands_of(const Collective& collective, const Op& op, const OpSite& site);

/// Operands in the collective's type; those of an all-reduce are one.
Pending start(const Collective& collective, const CollectiveSite& site);

/// Starts it, unless operands would have to be converted first.
Result<Pending> start_if_plain(const Collective& collective, const Op& op, const OpSite& site);

/// Operands in another type than the collective's are converted in scratch before and after it (a
/// trainer that keeps bf16 gradients and reduces them in fp32).
Status run_collective(const Collective& collective, const Op& op, const OpSite& site);

/// An all-gather under way, or one that is carried out when it is waited for.
class StartedGather {
 public:
  static Result<StartedGather> start(const Op& op, const OpSite& site);
  Status wait(const OpSite& site);

 private:
  const Op* op_ = nullptr;
  Pending pending_;
};

}  // namespace meshplan
