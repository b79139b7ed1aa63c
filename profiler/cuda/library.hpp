// SPDX-License-Identifier: Apache-2.0
// Libraries of NVIDIA that are loaded when they are first needed, so that meshplan starts where
// they are not, and one binary runs with those that PyTorch's packages bring (LD_LIBRARY_PATH).
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::cuda {

class Library {
 public:
  /// The first of `names` that the loader finds; stays loaded. Error (missing): none is found.
  static Result<Library> open(const std::vector<std::string>& names);
  void* handle() const { return handle_; }

  /// Sets *function. Error (missing): the library is too old to have it.
  template <class Function>
  Status get(const char* name, Function* function) const {
    MESHPLAN_TRY(void* const found, symbol(name));
    *function = reinterpret_cast<Function>(found);
    return Done{};
  }

 private:
  Result<void*> symbol(const char* name) const;
  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace meshplan::cuda
