// SPDX-License-Identifier: Apache-2.0
// A collective of the step program, carried out by a communicator of any back end.
#pragma once
#include "profiler/comm/communicator.hpp"
#include "validate/execute/device.hpp"

namespace meshplan {

/// The type of a communicator's elements; byte for what is not summed.
Element element_of(DType type);

/// Operands in another type than the collective's are converted in scratch before and after it (a
/// trainer that keeps bf16 gradients and reduces them in fp32). A collective that is smaller than
/// its buffer takes the first elements for a maximum and the last ones for a sum.
Status run_collective(const Collective& collective, const Op& op, const OpSite& site);

/// An all-gather under way, or one that is carried out when it is waited for: where its operands
/// would have to be converted in scratch.
class StartedGather {
 public:
  StartedGather(const Collective& collective, const Op& op, const OpSite& site);
  Status wait(const OpSite& site);

 private:
  const Op* op_;
  Pending pending_;
};

}  // namespace meshplan
