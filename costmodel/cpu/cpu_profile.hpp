// SPDX-License-Identifier: Apache-2.0
// How long does each operation of the step program take on ranks of this computer's CPU, or on its
// GPU?
//
// Written by `meshplan profile`, read here. Times depend on how many ranks work at the
// same time (they share memory and caches), so there is one set of tables per number of ranks.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "costmodel/cpu/grid_table.hpp"
#include "strategies/program/op.hpp"

namespace meshplan {

/// A kernel's name in the profile, its sizes in the grid, and how much work it is. Empty name: the
/// operation costs nothing by itself, or is not in the profile.
struct CpuWork {
  std::string kernel;
  std::vector<double> sizes;
  double work = 0;
};

/// Products by (m, n, k) per FLOP, attention by (sqrt(q kv), head_dim) per FLOP, partitions by
/// bytes per byte, all else by elements per element.
CpuWork cpu_work(const Body& body);
CpuWork cpu_work(CollectiveOp op, double bytes);
/// "send": a message to another rank, from the call until the receiver has it.
CpuWork cpu_message(double bytes);
/// Per element of a rank: zeroing gradients, squared norm and AdamW at the end of a step.
std::vector<CpuWork> cpu_update(double elements);

/// What decides how far away a row or an edge is.
struct GraphScale {
  double table_bytes = 1;  ///< of the tables that rows are drawn from
  double edges = 1;        ///< that batches are cut from
};
/// Training of a bucket on one thread: chunks by (chunk, candidates / chunk, dimension) per FLOP of
/// their products, in fp32 or bf16; edges drawn by their number per edge; rows gathered and stepped
/// by (bytes of the tables, dimension) per byte; operators stepped by their size per value.
std::vector<CpuWork> cpu_bucket(const BucketStep& bucket, const GraphScale& scale);

struct CpuTables {
  int ranks = 1;
  int nodes = 1;                             ///< that the ranks are spread over, equally
  std::map<std::string, GridTable> kernels;  ///< collectives are "all-reduce", ...

  /// Error (input): the profile lacks this kernel.
  Result<double> seconds(const CpuWork& work) const;
};

struct CpuProfile {
  std::string device = "cpu";                ///< or "cuda"
  std::string processor;                     ///< as the system names it
  int cores = 0;                             ///< or multiprocessors
  int64_t memory_bytes = 0;                  ///< of the computer; 0: not stated
  std::map<std::string, std::string> facts;  ///< of a GPU: driver, clocks, power under load
  std::string source;                        ///< command and date
  std::vector<CpuTables> tables;

  /// Tables for that many ranks at work on one computer, else the nearest fewer.
  const CpuTables& of(int ranks) const;
  /// Exactly these; null: not measured.
  const CpuTables* find(int ranks, int nodes) const;
};

std::string to_yaml(const CpuProfile& profile);
/// Does this file look like a CPU profile?
bool is_cpu_profile(const std::string& path);
/// Error (input): missing, malformed, or of another schema.
Result<CpuProfile> read_cpu_profile(const std::string& path);

}  // namespace meshplan
