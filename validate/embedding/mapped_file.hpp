// SPDX-License-Identifier: Apache-2.0
// A whole file as text without a copy.
#pragma once
#include <string>
#include <string_view>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

class MappedFile {
 public:
  /// Error (input): missing or unreadable.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view text() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  std::string path_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace meshplan::graph
