// SPDX-License-Identifier: Apache-2.0
// How long does each compute operation of the step program take on this GPU?
//
// Measured tables (costmodel/data) where there are some, the nearest relative's residuals at this
// GPU's own peaks elsewhere. Every answer says which, with its relative error. Values are for a
// kernel among back-to-back kernels on a device that is otherwise idle; the time of the host to
// issue it is in host.yaml, the slowdown beside a collective in constants.yaml.
// A lookup takes below a microsecond; nothing is cached, nothing is locked: const is thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "costmodel/profile/estimate.hpp"
#include "strategies/program/op.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"
#include "topologies/gpu/gpu.hpp"

namespace meshplan {

/// Clocks of a short benchmark, or those that hold when a step runs for minutes at its power limit.
enum class Clocks : uint8_t { burst, training };

class KernelTables {
 public:
  /// Tables of gpu.kernel_table. Error (input): no such table, or a bad data file.
  static Result<KernelTables> load(const Gpu& gpu, Clocks clocks = Clocks::training);

  /// c[m,n] (+)= a b with inner length k, in the layout of op.hpp; `groups` independent products of
  /// this shape in one kernel. accumulate: c is read too.
  KernelEstimate gemm(int64_t m, int64_t n, int64_t k, int64_t groups, Layout layout, DType in,
                      DType out, bool accumulate) const;
  KernelEstimate gemm(const Gemm& op) const;
  KernelEstimate batched_gemm(const BatchedGemm& op, DType type) const;

  /// Flash attention, forward or backward, by the given generation of kernel. Context parallelism
  /// by work: keys per query row and number of rows.
  KernelEstimate attention(const Attention& op, DType type, FlashKernel flash) const;

  /// A Mamba-2 scan, described as the attention that takes as long on an A100 (hf_hybrid.cpp):
  /// bound by memory or by the number of SMs, whichever takes longer.
  KernelEstimate scan(const Attention& op) const;

  /// A streaming kernel that reads and writes `bytes` together.
  KernelEstimate memory_bound(double bytes) const;
  /// Rows gathered or scattered by index: embedding, permutation of tokens.
  KernelEstimate random_rows(double bytes) const;
  /// In one kernel: cuDNN's if op.fused, else what torch.compile makes.
  KernelEstimate norm(const Norm& op, DType type) const;

  const Gpu& gpu() const;
  bool scaled() const;           ///< the tables were measured on another GPU
  bool other_libraries() const;  ///< see KernelConfig

  /// Relative errors of the tables behind this GPU when they predict points they do not hold.
  struct Check {
    std::string table;
    std::string what;  ///< "gemm", "gemm one token above a tile", "attention"
    size_t points = 0;
    double median = 0, mean = 0, p90 = 0;
  };
  std::vector<Check> leave_one_out() const;

 private:
  struct Data;
  explicit KernelTables(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

/// KernelTables::leave_one_out of every bundled kernel table that is measured on its own GPU.
Result<std::vector<KernelTables::Check>> check_calibration();

}  // namespace meshplan
