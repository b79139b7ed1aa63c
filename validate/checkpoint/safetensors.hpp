// SPDX-License-Identifier: Apache-2.0
// What stands in a safetensors file? Header length (8 bytes, little endian), header (JSON: name ->
// dtype, shape, data_offsets), data. The format of HF checkpoints and of our own.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

struct TensorInfo {
  std::string dtype;  ///< "F32", "BF16", "F16" are read
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  ///< bytes from the start of the data
  int64_t elements() const;
};

class SafetensorsFile {
 public:
  /// Checks header, offsets and the file's length; error (input) otherwise.
  static Result<SafetensorsFile> open(const std::string& path);

  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

  /// Elements [first, first + count) as fp32. Error (input): no such tensor, type or range.
  Status read(const std::string& name, int64_t first, int64_t count, float* out) const;
  /// All elements.
  Result<std::vector<float>> read(const std::string& name) const;

 private:
  struct Handle;
  std::string path_;
  std::shared_ptr<const Handle> handle_;
  int64_t data_begin_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorOut {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> data;  ///< written as F32
};

/// Writes the file whole and on the disk before it returns, in the order given. Error (input), with
/// the system's reason, when it can't (a full disk, say); what was begun stays behind as `path`.
Status write_safetensors(const std::string& path, const std::vector<TensorOut>& tensors,
                         const std::map<std::string, std::string>& metadata);

}  // namespace meshplan
