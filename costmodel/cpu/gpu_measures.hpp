// SPDX-License-Identifier: Apache-2.0
// What does a profile of this very GPU say before any bundled table is asked?
#pragma once
#include <memory>
#include <optional>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan {

/// The names of a GPU's tables (topologies/gpu/gpu.hpp) may have a profile before them:
/// "profile.yaml:h100" is that file, and the bundled table for what it does not hold.
struct TableName {
  std::string profile, table;  ///< profile empty: none
};
TableName table_name(const std::string& text);
std::string with_profile(const std::string& profile, const std::string& text);

/// Relative error between measured sizes: what `meshplan profile` is told to stop at.
constexpr double kProfileError = 0.03;

class GpuMeasures {
 public:
  /// A file of `meshplan profile --device cuda`; null for an empty path. Error (input): of the
  /// file, or a profile of a CPU.
  static Result<std::shared_ptr<const GpuMeasures>> load(const std::string& path);

  // Seconds; nothing where the profile does not have it.
  /// A kernel of the operation. Products in 16 bit, attention, norms.
  std::optional<double> operation(const Body& body) const;
  /// A kernel that reads and writes so many bytes in all, as the sum of two tensors does.
  std::optional<double> stream(double bytes) const;
  /// Rows gathered by index, as an embedding does.
  std::optional<double> rows(double bytes) const;
  /// Between as many ranks on as many nodes.
  std::optional<double> collective(CollectiveOp op, double bytes, int64_t ranks,
                                   int64_t nodes) const;
  std::optional<double> message(double bytes, int64_t nodes) const;

  const CpuProfile& profile() const { return profile_; }

 private:
  explicit GpuMeasures(CpuProfile profile) : profile_(std::move(profile)) {}
  static std::optional<double> seconds(const CpuTables* tables, const CpuWork& work);
  CpuProfile profile_;
};

}  // namespace meshplan
