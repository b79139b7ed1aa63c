// SPDX-License-Identifier: Apache-2.0
// What did nccl-tests measure? Its JSON files (-J) and its printed tables as a profile.
#pragma once
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan {

/// One run of one of its programs. Out-of-place times, else those in place.
struct NcclTestsRun {
  CollectiveOp op = CollectiveOp::all_reduce;  ///< sendrecv: ring_exchange
  int ranks = 0;
  std::string gpu;                                 ///< of rank 0
  std::vector<std::pair<double, double>> seconds;  ///< by bytes (as nccl-tests counts them)
};

/// Contents of a file. op: name of the collective where the text does not tell ("all_reduce"), else
/// empty. Error (input): neither of the two forms, no rows, or a collective that no step program
/// has (broadcast, gather, ...).
Result<NcclTestsRun> read_nccl_tests(const std::string& text, const std::string& op);

/// Adds the run to the tables of its number of ranks on one node; a kernel that is there is
/// replaced. A run of sendrecv stands for messages between stages, too.
Status add_to_profile(const NcclTestsRun& run, CpuProfile& profile);

}  // namespace meshplan
