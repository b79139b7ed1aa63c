// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/library.hpp"

#include <dlfcn.h>

namespace meshplan::cuda {

Result<Library> Library::open(const std::vector<std::string>& names) {
  Library library;
  std::string reason;
  for (const std::string& name : names) {
    library.handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    library.name_ = name;
    if (library.handle_ != nullptr) return library;
    if (reason.empty()) reason = dlerror();
  }
  return Diagnostic{.kind = ErrorKind::missing,
                    .message = "a library of the CUDA build is not there",
                    .value = names.front(),
                    .hint = "its folder in LD_LIBRARY_PATH",
                    .notes = {reason}};
}

Result<void*> Library::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  if (found != nullptr) return found;
  return Diagnostic{.kind = ErrorKind::missing,
                    .message = "the library lacks a function: it is another version",
                    .where = name_,
                    .value = name};
}

}  // namespace meshplan::cuda
