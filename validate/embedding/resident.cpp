// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/resident.hpp"

#include <fstream>
#include <sstream>
#include <string>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace meshplan::graph {
namespace {

/// A line of /proc/self/status, in kibibytes.
int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    int64_t kibibytes = 0;
    rest >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t resident_bytes() { return status_bytes("VmRSS:"); }
int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

bool restart_peak() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // see proc(5)
  return reset.good();
}

}  // namespace meshplan::graph
