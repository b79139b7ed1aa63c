// SPDX-License-Identifier: Apache-2.0
// What does one operation of the step program cost on this GPU, and how many kernels issue it?
#pragma once
#include <array>

#include "costmodel/collectives/collectives.hpp"
#include "costmodel/profile/kernel_tables.hpp"
#include "strategies/program/program.hpp"
#include "topologies/placement/placement.hpp"

namespace meshplan {

enum class Resource : uint8_t { gemm, attention, memory, network, host_memory };

struct OpPrice {
  double seconds = 0;
  Resource resource = Resource::memory;
  double kernels = 0;         ///< launches by the host
  double occupancy = 1;       ///< see collectives.hpp
  double relative_error = 0;  ///< of seconds, one standard deviation
  Provenance provenance = Provenance::assumed;
};

/// What an operation's price depends on besides itself.
struct PriceContext {
  const KernelTables& kernels;
  const CollectiveModel& collectives;
  const Trainer& trainer;
  DType compute;                          ///< of attention and products
  std::array<GroupLinks, kGroups> links;  ///< by Group
  bool scans = false;           ///< attention stands for a state-space scan, see KernelTables::scan
  double kernel_slowdown = 1;   ///< see constants.hpp
  double network_slowdown = 1;  ///< of collectives that leave the node
  double host_bytes_per_s = 0;  ///< of optimizer states or rows to and from the host, per GPU
  double storage_bytes_per_s = 0;  ///< of partitions to and from the node's disks, per GPU
  const GroupLinks& of(Group group) const { return links[static_cast<size_t>(group)]; }
};

/// Seconds of `op` alone on an otherwise idle GPU; collectives without waiting for others.
OpPrice price(const Op& op, const PriceContext& context);

/// Bytes that a memory-bound operation reads and writes; 0 for the others.
double traffic_bytes(const Op& op, const Trainer& trainer, DType value);

}  // namespace meshplan
