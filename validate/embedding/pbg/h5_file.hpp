// SPDX-License-Identifier: Apache-2.0
// How do arrays get into an HDF5 file and out of it? What PyTorch-BigGraph's checkpoints need of
// the library, and no more: fp32 arrays in nested groups, with attributes.
//
// Built with libhdf5 where it is installed; else every call is refused (missing, exit code 6).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

/// Calls of several threads are not to overlap: the library is not made for it.
class H5File {
 public:
  static bool available();
  /// Errors (input): the system's reason; (missing): built without it.
  static Result<H5File> create(const std::string& path);
  static Result<H5File> open(const std::string& path);

  /// An array of that shape, row-major, with the groups that its name has; "a/b/c".
  Status write(const std::string& name, const std::vector<int64_t>& shape, const float* values);
  /// Attributes of an object; "/" is the file itself.
  Status set_number(const std::string& object, const std::string& key, int64_t value);
  Status set_text(const std::string& object, const std::string& key, const std::string& value);

  bool has(const std::string& name) const;
  Result<int64_t> number(const std::string& object, const std::string& key) const;
  /// Error (input): no such array, or of another shape.
  Status read(const std::string& name, const std::vector<int64_t>& shape, float* values) const;
  Result<std::vector<int64_t>> shape(const std::string& name) const;

  /// Writes what is left, with the error of any of it.
  Status close();

 private:
  struct Handle;
  H5File(std::string path, std::shared_ptr<Handle> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Diagnostic error(const char* message, const std::string& name) const;
  std::string path_;
  std::shared_ptr<Handle> file_;
};

}  // namespace meshplan::graph
